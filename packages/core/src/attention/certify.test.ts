/** Certificates that are asked for: whatever the keys, a row reads on until what it leaves is as little as was said. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHeadBench } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance, score64 } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { arenaBytesFor } from '../../test/small-arena.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { floatAbove } from '../kernels/rounding.ts';
import { createPolicy, type SparseParts } from '../policies/policy.ts';
import { type AttentionOptions, createAttention } from './attention.ts';
import { attendByPolicy } from './decode.ts';

const MASSES = [0.1, 0.05, 0.01, 0.001];
/** A length that 1 / sqrt(d) has to be rounded for. */
const HEAD_DIM = 80;

const open = (policy: string, certify?: number) =>
  createPolicy({ policy, budget: 'fixed:20', ...(certify !== undefined && { certify }) }).sparse as SparseParts;

const norm = (row: ArrayLike<number>): number => Math.sqrt(Array.from(row).reduce((sum, x) => sum + x * x, 0));

describe('certify', () => {
  it('extends the rows of a group one by one, and counts the bytes of every attempt', () => {
    const random = createRandom(4);
    const [keys, values] = [random.normals(600 * HEAD_DIM), random.normals(600 * HEAD_DIM)];
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    // A flat head, and two that are not.
    const rows = Float32Array.from(
      random.normals(3 * HEAD_DIM),
      (x, i) => x * ([0.01, 12, 3][Math.floor(i / HEAD_DIM)] ?? 0),
    );
    const { outputs, results } = attendByPolicy(bench.query(rows), open('sieve', 0.05));
    expect(results.map(({ outcome }) => outcome)).toEqual(['full', 'certificateFallback', 'certificateFallback']);
    expect(results.every(({ kind, tailMass }) => kind === 'certified' && tailMass <= 0.05)).toBe(true);
    const truth = attention64(bench.problem(rows)).outputs;
    let bytes = attendByPolicy(bench.query(rows), open('sieve')).results[0]?.bytesRead ?? 0;
    expect(bytes).toBeGreaterThan(0);
    for (const [row, { outputError, keysNeeded }] of results.entries()) {
      const range = [row * HEAD_DIM, (row + 1) * HEAD_DIM] as const;
      const exact = truth.subarray(...range);
      expect(distance(outputs.subarray(...range), exact).norm).toBeLessThanOrEqual((outputError + 1e-5) * norm(exact));
      expect(keysNeeded).toBeGreaterThan(0);
      // This row's own second attempt, after another first one.
      const alone = bench.query(rows.subarray(...range));
      const [before, after] = [attendByPolicy(alone, open('window')), attendByPolicy(alone, open('window', 0.05))];
      bytes += (after.results[0]?.bytesRead ?? 0) - (before.results[0]?.bytesRead ?? 0);
    }
    // Those of all attempts stand with the first row.
    expect(results.map(({ bytesRead }) => bytesRead)).toEqual([bytes, 0, 0]);
  });

  it('leaves alone what is certified already', () => {
    const { keys, values, query } = keysOfShape('peaked', createRandom(5), 500, HEAD_DIM);
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    const policy = createPolicy({ policy: 'topk', budget: 'fixed:400', certify: 0.5 }).sparse as SparseParts;
    const { results } = attendByPolicy(bench.query(query), policy);
    expect(results[0]).toMatchObject({ outcome: 'asSelected', keysExact: 400, keysNeeded: 0 });
  });

  it('is asked for a share that is not more than it was in float32, in which certificates travel', () => {
    fc.assert(
      fc.property(fc.double({ min: 2 ** -60, max: 1, noNaN: true }), (share) => {
        const { certifier } = open('sieve', share);
        expect(floatAbove(certifier?.tailMass ?? 1)).toBeLessThanOrEqual(share);
        expect(certifier?.budget.tailMass).toBe(certifier?.tailMass);
      }),
    );
    // The nearest float32 is larger than these.
    for (const share of [0.1, 0.01, 0.001]) expect(open('int8', share).certifier?.tailMass).toBeLessThan(share);
  });

  it('knows how many keys any choice needs at least: never more than the oracle takes, and nearly as many', () => {
    for (const shape of KEY_SHAPE_NAMES) {
      const { keys, values, query: row } = keysOfShape(shape, createRandom(6), 700, HEAD_DIM);
      const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
      const problem = bench.problem(row);
      const scores = Float64Array.from({ length: 700 }, (_, j) => score64(problem, 0, j));
      const largest = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - largest)).sort();
      const all = weights.reduce((a, b) => a + b, 0);
      for (const mass of MASSES) {
        let [left, dropped] = [0, 0];
        while (dropped < 700 && left + (weights[dropped] as number) <= mass * all) left += weights[dropped++] as number;
        const result = attendByPolicy(bench.query(row), open('window', mass)).results[0];
        if (result?.keysNeeded === 0) continue;
        const what = `${shape}, ${mass}`;
        expect(result?.keysNeeded, what).toBeLessThanOrEqual(700 - dropped);
        if (shape === 'normal') expect(result?.keysNeeded, what).toBeGreaterThan(0.9 * (700 - dropped));
      }
    }
  });
});

const KEYS = 320;
const HEADS = 3;
const SIZES = { layers: 1, keyValueHeads: 1, heads: HEADS, headDim: HEAD_DIM, capacity: KEYS, encodings: ENCODINGS };

/** An attention over keys of a shape, and queries (HEADS, d): the one of the shape, its opposite, and another. */
async function prepare(options: Partial<AttentionOptions> = {}) {
  const random = createRandom(11);
  const { keys, values, query } = keysOfShape('normal', random, KEYS, HEAD_DIM);
  const attention = await createAttention({ ...SIZES, ...options });
  attention.cache.reserve(KEYS);
  attention.cache.write(0, 0, keys, values);
  attention.cache.commit(KEYS);
  return { attention, queries: Float32Array.from([...query, ...query.map((x) => -x), ...random.normals(HEAD_DIM, 2)]) };
}

describe('the report of certificates', () => {
  it('says how many rows read more, and what it cost', async () => {
    const { attention: opened, queries } = await prepare();
    await using attention = opened;
    const request = { layer: 0, position: KEYS - 1, queries };
    const plain = attention.attend({ ...request, policy: { policy: 'window', budget: 'fixed:40' } }).report;
    const policy = { policy: 'window', budget: 'fixed:40', certify: 0.001 };
    const certified = attention.attend({ ...request, policy }).report;
    expect(plain).toMatchObject({
      rowsCertificateFallback: 0,
      rowsFull: 0,
      certificateFallbacks: { rows: 0, keysExact: 0, keysNeeded: 0 },
    });
    expect(certified.certificate).toBe('certified');
    expect(certified.tailMass.max).toBeLessThanOrEqual(0.001);
    expect(certified.rowsCertificateFallback + certified.rowsFull).toBe(3);
    expect(certified.certificateFallbacks).toMatchObject({ rows: 3, keysExact: certified.keysExact });
    expect(certified.certificateFallbacks.keysNeeded).toBeLessThanOrEqual(certified.keysExact);
    expect(certified.keysExact).toBeGreaterThan(plain.keysExact);
    // The bytes of the first attempt, of a scan of the codes, and of the keys that were read at last.
    const rows = certified.keysExact * 2 * HEAD_DIM * 2;
    expect(certified.bytesRead).toBeGreaterThan(plain.bytesRead + rows);
  });

  it('is kept where queries share what they read', async () => {
    const { attention: opened } = await prepare();
    await using attention = opened;
    const queries = createRandom(12).normals(40 * HEADS * HEAD_DIM);
    const request = { layer: 0, position: KEYS - 40, queries, shareSamples: true };
    const policy = { policy: 'sieve', budget: 'fixed:4' };
    expect(attention.attend({ ...request, policy: { ...policy, certify: 0.05 } }).report.certificate).toBe('certified');
  });

  it('is the same with several threads and regions', async () => {
    const reports = [];
    for (const options of [
      {},
      { threads: 3 },
      { arenaBytes: arenaBytesFor(3, { ...SIZES, threads: 2 }), threads: 2 },
    ]) {
      const { attention: opened, queries } = await prepare(options);
      await using attention = opened;
      if ('arenaBytes' in options) expect(attention.cache.regions.length).toBeGreaterThan(1);
      const policy = { policy: 'int8', budget: 'fixed:16', certify: 0.05 };
      reports.push(attention.attend({ layer: 0, position: KEYS - 1, queries, policy }).report);
    }
    const [one, threads, regions] = reports;
    expect(threads).toEqual(one);
    expect(regions?.keysExact).toBe(one?.keysExact);
    expect(regions?.tailMass.max).toBeCloseTo(one?.tailMass.max ?? 0, 4);
  });
});
