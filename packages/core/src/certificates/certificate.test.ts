/** Certificates against float64: of every bound on every kind of keys, none may be broken. */
import { describe, expect, it } from 'vitest';
import { createHeadBench, unreadMass } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { selectorsOf } from '../../test/variants.ts';
import { parseBudget } from '../budgets/index.ts';
import { attendPositions, readLogSumExp } from '../group/group-work.ts';
import { ENCODINGS, PRECISIONS, type Precision } from '../kernels/layout.ts';
import createInt8Scan from '../selectors/int8-scan.ts';
import { CERTIFICATE_KINDS, type Certificate, certify, EXACT_CERTIFICATE, weakerKind } from './certificate.ts';

const LENGTHS = [1, 2, 5, 64, 65, 300, 1500];
const BUDGETS = [
  'fixed:1',
  'fixed:2',
  'fixed:8',
  'fixed:64',
  'fraction:0.5',
  'fraction:0.999',
  'mass:0.2',
  'mass:0.1',
  'mass:0.05',
  'mass:0.01',
  'mass:0.001',
  'mass:0',
];

interface Measured extends Certificate {
  what: string;
  /** What the selector says itself. */
  tailShare: number;
  trueMass: number;
  /** What the output of the chosen keys has, computed in float64. */
  trueError: number;
  /** What the returned output has, in float32. */
  returnedError: number;
  isFull: boolean;
  /** What float32 may add to it in full attention. */
  rounding: number;
}

/** Certificates of every selector, length and budget for one kind of keys, with what they are bounds on. */
function measure(
  shape: (typeof KEY_SHAPE_NAMES)[number],
  headDim: number,
  precision: Precision,
  seed: number,
): Measured[] {
  const most = Math.max(...LENGTHS);
  const { keys, values, query: row } = keysOfShape(shape, createRandom(seed), most, headDim);
  const bench = createHeadBench({ headDim, keys, values, precision, encodings: ENCODINGS });
  const results: Measured[] = [];
  for (const n of LENGTHS) {
    const exact = attention64(bench.problem(row, n)).outputs;
    for (const [selector, create] of selectorsOf()) {
      if (create().sampleSize !== undefined) continue;
      for (const text of BUDGETS) {
        const query = bench.query(row, n);
        const selection = create().select(query, parseBudget(text));
        const region = attendPositions(query, selection.count);
        const { state, outputs } = region.workspace;
        const selectedSum = readLogSumExp(region.views(), state);
        region.kernels.normalize(state, 1, headDim, outputs, headDim * 4);
        const output = region.views().f32.slice(outputs / 4, outputs / 4 + headDim);
        const { bytesScanned: _, totalSums = [], ...known } = selection;
        const [totalSum] = totalSums;
        const certificate = certify(query, 0, { selectedSum, output, ...known, ...(totalSum && { totalSum }) });

        const chosen = bench.selectedPositions(query, selection.count);
        const problem = bench.problem(row, n, chosen);
        const truth = attention64(problem).outputs;
        // Scores of d roundings each move the weights, which add up in `count` roundings more.
        const score = (headDim + 4) * 2 ** -24 * (query.queryNorms[0] as number) * query.maxKeyNorm;
        const weights = Math.expm1(2 * score) + (100 + chosen.length) * 2 ** -24;
        results.push({
          ...certificate,
          what: `${selector}, ${text} of ${n}, d ${headDim}, ${precision}`,
          tailShare: selection.tailShare ?? 1,
          trueMass: unreadMass(bench.problem(row, n), n, chosen),
          trueError: distance(truth, exact).norm / norm(exact),
          returnedError: distance(output, exact).norm / norm(exact),
          isFull: selection.count === n,
          rounding: (weights * query.maxValueNorm) / norm(exact),
        });
      }
    }
  }
  return results;
}

describe('certificates of keys that are dropped', () => {
  it.for(KEY_SHAPE_NAMES)('hold for keys that are %s', (shape) => {
    for (const [headDim, precision] of [
      [8, 'f32'],
      [32, 'f16'],
      // 1 / sqrt(80) has to be rounded.
      [80, 'f16'],
      [128, 'f16'],
    ] as const) {
      for (const one of measure(shape, headDim, precision, headDim)) {
        expect(one.kind).toBe('certified');
        expect(one.tailMass, one.what).toBeGreaterThanOrEqual(one.trueMass);
        expect(one.tailShare, one.what).toBeGreaterThanOrEqual(one.trueMass);
        expect(one.tailMass, one.what).toBeLessThanOrEqual(1);
        expect(one.outputError, one.what).toBeGreaterThanOrEqual(one.trueError);
        // A row that has read every key has the rounding of full attention.
        const rounding = one.isFull ? one.rounding : 0;
        expect(one.outputError + rounding, one.what).toBeGreaterThanOrEqual(one.returnedError);
      }
    }
  });

  it('are of use: where all keys were scored, the bound on the mass is near it', () => {
    for (const precision of PRECISIONS) {
      const scored = measure('normal', 64, precision, 7).filter(({ what }) => what.startsWith('oracle'));
      expect(scored.length).toBeGreaterThan(20);
      for (const { what, tailMass, trueMass } of scored) expect(tailMass - trueMass, what).toBeLessThan(1e-3);
      expect(scored.some(({ outputError }) => outputError < 0.1 && outputError > 0)).toBe(true);
    }
  });

  it('are of use: the bounds of int8-scan say more than the norms do', () => {
    const { keys, values, query: row } = keysOfShape('normal', createRandom(7), 1500, 64);
    const bench = createHeadBench({ headDim: 64, keys, values, encodings: ENCODINGS });
    const query = bench.query(row);
    const { count, bytesScanned: _, ...known } = createInt8Scan().select(query, parseBudget('fixed:1000'));
    const region = attendPositions(query, count);
    const findings = {
      count,
      selectedSum: readLogSumExp(region.views(), region.workspace.state),
      output: new Float32Array(64),
    };
    const trueMass = unreadMass(bench.problem(row), 1500, bench.selectedPositions(query, count));
    expect(certify(query, 0, findings).tailMass).toBeGreaterThan(0.9);
    expect(certify(query, 0, { ...findings, ...known }).tailMass).toBeLessThan(1.5 * trueMass + 1e-3);
  });

  it('are exact where nothing was dropped', () => {
    for (const { what, tailMass, outputError, trueMass } of measure('peaked', 32, 'f16', 8)) {
      if (trueMass !== 0) continue;
      if (what.includes('of 1,') || what.includes('oracle, mass:0 '))
        expect([tailMass, outputError], what).toEqual([0, 0]);
    }
  });
});

describe('kinds', () => {
  it('go from the best to the weakest, and the weaker stays', () => {
    expect(CERTIFICATE_KINDS).toEqual(['certified', 'estimated']);
    expect(weakerKind('certified', 'estimated')).toBe('estimated');
    expect(weakerKind('estimated', 'certified')).toBe('estimated');
    expect(weakerKind('certified', 'certified')).toBe('certified');
    expect(EXACT_CERTIFICATE).toEqual({ kind: 'certified', tailMass: 0, outputError: 0 });
  });
});

const norm = (row: ArrayLike<number>): number => Math.sqrt(Array.from(row).reduce((sum, x) => sum + x * x, 0));
