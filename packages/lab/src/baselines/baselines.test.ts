/** Baselines keep what every policy, selector, tail and eviction promises. */
import { createPolicy, ENCODINGS, parseBudget, policyEncodings, policyNames } from 'keysieve';
import {
  certify,
  createHeadBench,
  createTestRandom,
  describeEviction,
  describePolicies,
  describeSelector,
  describeTail,
  evictionsOf,
  expectError,
  keysOfShape,
  readLogSumExp,
  selectorsOf,
  sparsePolicyNames,
  tailsOf,
  unreadMass,
} from 'keysieve/conformance';
import { policyDefinitions } from 'keysieve/engine';
import * as api from 'keysieve/extend';
import { describe, expect, it } from 'vitest';
import { registerBaselines } from './index.ts';
import { createQuest } from './quest.ts';

const coreNames = policyNames();
await registerBaselines();
const BASELINES = policyDefinitions().filter(({ name }) => !coreNames.includes(name));

for (const create of selectorsOf(BASELINES).values()) describeSelector(create);
for (const create of tailsOf(BASELINES).values()) describeTail(create);
for (const create of evictionsOf(BASELINES).values()) describeEviction(create);
describePolicies(sparsePolicyNames(BASELINES));

describe('the baselines', () => {
  it('are policies like any other once they are registered', async () => {
    await registerBaselines();
    expect(BASELINES.map(({ name }) => name)).toEqual([
      'sign',
      'quest',
      'twilight',
      'dense-int8',
      'dense-int4',
      'h2o',
      'snapkv',
      'tova',
    ]);
    for (const { name } of BASELINES) expect(createPolicy({ policy: name }).name).toBe(name);
    expect(policyEncodings({ policy: 'quest', certify: 1 })).toEqual(['sign', 'bounds', 'minMax']);
  });

  it('promise nothing where they evict keys, and then take a number of keys alone', () => {
    for (const policy of evictionsOf(BASELINES).keys()) {
      expect(policyEncodings({ policy })).toEqual([]);
      expectError('invalid-argument', () => createPolicy({ policy, budget: 'mass:0.1' }));
      expectError('invalid-argument', () => createPolicy({ policy, certify: 0.1 }));
    }
  });

  it('bound what Quest leaves by more than the norms do', () => {
    const { keys, values, query: row } = keysOfShape('falling by much', createTestRandom(7), 1500, 64);
    const bench = createHeadBench({ headDim: 64, keys, values, encodings: ENCODINGS });
    const query = bench.query(row);
    const { count, bytesScanned: _, ...known } = createQuest(api).select(query, parseBudget('fixed:1000'));
    const region = api.attendPositions(query, count);
    const findings = {
      count,
      selectedSum: readLogSumExp(region.views(), region.workspace.state),
      output: new Float32Array(64),
    };
    const trueMass = unreadMass(bench.problem(row), 1500, bench.selectedPositions(query, count));
    expect(certify(query, 0, findings).tailMass).toBeGreaterThan(0.9);
    expect(certify(query, 0, { ...findings, ...known }).tailMass).toBeLessThan(1.5 * trueMass + 1e-3);
  });
});
