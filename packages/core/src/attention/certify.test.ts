/** Certificates that are asked for: whatever the keys, a row reads on until what it leaves is as little as was said. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { certifiedPositions } from '../../test/certified-positions.ts';
import { createHeadBench, unreadMass } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance, score64 } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { arenaBytesFor } from '../../test/small-arena.ts';
import { sparsePolicyNames } from '../../test/variants.ts';
import { boundScanBytes } from '../group/quantized-work.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import { floatAbove } from '../kernels/rounding.ts';
import { createPolicy, type SparseParts } from '../policies/policy.ts';
import { type AttentionOptions, createAttention } from './attention.ts';
import { attendByPolicy } from './decode.ts';
import type { RowResult } from './row-result.ts';

const MASSES = [0.1, 0.05, 0.01, 0.001];
/** A length that 1 / sqrt(d) has to be rounded for. */
const HEAD_DIM = 80;

const open = (policy: string, certify?: number) =>
  createPolicy({ policy, budget: 'fixed:20', ...(certify !== undefined && { certify }) }).sparse as SparseParts;

const norm = (row: ArrayLike<number>): number => Math.sqrt(Array.from(row).reduce((sum, x) => sum + x * x, 0));

describe('certify', () => {
  it('reads with every row of a group what its own certificate takes, in one step', () => {
    const random = createRandom(4);
    const [keys, values] = [random.normals(600 * HEAD_DIM), random.normals(600 * HEAD_DIM)];
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    // A flat head, and two that are not.
    const rows = Float32Array.from(
      random.normals(3 * HEAD_DIM),
      (x, i) => x * ([0.01, 12, 3][Math.floor(i / HEAD_DIM)] ?? 0),
    );
    const work = bench.query(rows);
    const { outputs, results } = attendByPolicy(work, open('sieve', 0.05));
    const truth = attention64(bench.problem(rows)).outputs;
    const [flat, ...others] = results.map(({ keysExact }) => keysExact);
    expect(flat).toBeGreaterThan(0.94 * 600);
    for (const count of others) expect(count).toBeLessThan(300);
    const union = new Set<number>();
    for (const [row, { kind, tailMass, outputError, keysExact, outcome }] of results.entries()) {
      expect({ kind, outcome }).toEqual({ kind: 'certified', outcome: 'certificateFallback' });
      const read = certifiedPositions(work, row);
      for (const position of read) union.add(position);
      expect(keysExact).toBe(read.length);
      const query = rows.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM);
      expect(tailMass).toBeGreaterThanOrEqual(unreadMass(bench.problem(query), 600, read));
      expect(tailMass).toBeLessThanOrEqual(0.05);
      const exact = truth.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM);
      const error = distance(outputs.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM), exact).norm;
      expect(error).toBeLessThanOrEqual((outputError + 1e-5) * norm(exact));
    }
    // A key is read once for all rows, but for those that the second threshold adds for a row; what was read stands with
    // the first.
    const [first = 0, ...rest] = results.map(({ bytesRead }) => bytesRead);
    const distinctKeys = (first - boundScanBytes(work)) / (2 * HEAD_DIM * 2);
    expect(distinctKeys).toBeGreaterThanOrEqual(union.size);
    expect(distinctKeys).toBeLessThan(1.1 * union.size);
    expect(rest).toEqual([0, 0]);
  });

  it('reads all keys where the rows would read more of them than is worth it, and says so', () => {
    const random = createRandom(4);
    const [keys, values] = [random.normals(600 * HEAD_DIM), random.normals(600 * HEAD_DIM)];
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    const rows = random.normals(3 * HEAD_DIM, 3);
    const work = bench.query(rows);
    const keysOf = (maxReadShare: number) => attendByPolicy(work, open('sieve', 0.05), maxReadShare).results;
    const exactKeys = keysOf(1).reduce((sum, { keysExact }) => sum + keysExact, 0);
    expect(exactKeys).toBeLessThan(1200);
    const all = keysOf(exactKeys / 1800 / 2);
    expect(all.map(({ outcome, keysExact }) => [outcome, keysExact])).toEqual(new Array(3).fill(['full', 600]));
    expect(all[0]).toMatchObject({ kind: 'certified', tailMass: 0, bytesRead: expect.any(Number) });
    expect(all[0]?.bytesRead).toBe(boundScanBytes(work) + 600 * 2 * HEAD_DIM * 2);
  });

  it('finds by a few pages that most of many keys would have to be read, without bounds on the others', () => {
    const random = createRandom(4);
    const n = 4200;
    const [keys, values] = [random.normals(n * 32), random.normals(n * 32)];
    const bench = createHeadBench({ headDim: 32, keys, values, encodings: ENCODINGS });
    const query = random.normals(2 * 32);
    const exactBytes = n * 2 * 32 * 2;
    const attend = (scale: number) => {
      const work = bench.query(query.map((x) => scale * x));
      const { results } = attendByPolicy(work, open('sieve', 0.05), 0.3);
      return { scanned: (results[0] as RowResult).bytesRead - exactBytes, bounds: boundScanBytes(work), results };
    };
    const flat = attend(0.1);
    expect(flat.results.map(({ outcome }) => outcome)).toEqual(['full', 'full']);
    expect(flat.scanned).toBeGreaterThan(0);
    expect(flat.scanned).toBeLessThan(0.1 * flat.bounds);
    expect(attend(12).results.map(({ outcome }) => outcome)).toEqual(['certificateFallback', 'certificateFallback']);
    // What lies in the first page and in the last is not missed.
    for (const position of [1, n - 1]) {
      const peaked = Float32Array.from(keys.subarray(position * 32, (position + 1) * 32), (x) => 3 * x);
      const { results } = attendByPolicy(bench.query(peaked), open('sieve', 0.05), 0.3);
      expect(results[0]?.outcome).toBe('certificateFallback');
    }
  });

  it('attends again with rows that the policy has left too much of, and counts the bytes of both attempts', () => {
    const { keys, values, query } = keysOfShape('normal', createRandom(5), 500, HEAD_DIM);
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    const rows = Float32Array.from([...query, ...query.map((x) => 12 * x)]);
    const alone = attendByPolicy(bench.query(rows), open('window'));
    const { results } = attendByPolicy(bench.query(rows), open('window', 0.05), 1);
    expect(results.map(({ outcome }) => outcome)).toEqual(['certificateFallback', 'certificateFallback']);
    let bytes = alone.results[0]?.bytesRead ?? 0;
    for (const row of [0, 1]) {
      const single = bench.query(rows.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM));
      const [again] = attendByPolicy(single, open('sieve', 0.05), 1).results;
      expect(results[row]).toMatchObject({ keysExact: again?.keysExact, tailMass: again?.tailMass });
      bytes += again?.bytesRead ?? 0;
    }
    expect(results.map(({ bytesRead }) => bytesRead)).toEqual([bytes, 0]);
  });

  it('leaves alone what is certified already', () => {
    const { keys, values, query } = keysOfShape('peaked', createRandom(5), 500, HEAD_DIM);
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    const policy = createPolicy({ policy: 'topk', budget: 'fixed:400', certify: 0.5 }).sparse as SparseParts;
    const { results } = attendByPolicy(bench.query(query), policy);
    expect(results[0]).toMatchObject({ outcome: 'asSelected', keysExact: 400 });
  });

  it('is asked for a share that is not more than it was in float32, in which certificates travel', () => {
    fc.assert(
      fc.property(fc.double({ min: 2 ** -60, max: 1, noNaN: true }), (share) => {
        expect(floatAbove(open('sieve', share).certified?.tailMass ?? 2)).toBeLessThanOrEqual(share);
      }),
    );
    // The nearest float32 is larger than these.
    for (const share of [0.1, 0.01, 0.001]) expect(open('int8', share).certified?.tailMass).toBeLessThan(share);
  });

  it('takes the sink of a head for a key that was read', () => {
    const random = createRandom(6);
    const [keys, values] = [random.normals(600 * HEAD_DIM), random.normals(600 * HEAD_DIM)];
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    const rows = random.normals(2 * HEAD_DIM, 3);
    const sinks = [12, -3];
    const work = { ...bench.query(rows), sinks };
    const { outputs, results } = attendByPolicy(work, open('sieve', 0.05), 1);
    const without = attendByPolicy(bench.query(rows), open('sieve', 0.05), 1).results;
    const again = attendByPolicy(work, open('sieve', 0.05), 1).results;
    expect(again).toEqual(results);
    const problem = { ...bench.problem(rows), sinks };
    const { outputs: truth, logSumExp } = attention64(problem);
    for (const [row, { tailMass, outputError, keysExact }] of results.entries()) {
      const read = new Set(certifiedPositions(work, row));
      let unread = 0;
      for (let j = 0; j < 600; j++) {
        if (!read.has(j)) unread += Math.exp(score64(problem, row, j) - (logSumExp[row] as number));
      }
      expect(tailMass).toBeGreaterThanOrEqual(unread);
      expect(tailMass).toBeLessThanOrEqual(0.05);
      const range = [row * HEAD_DIM, (row + 1) * HEAD_DIM] as const;
      const exact = truth.subarray(...range);
      expect(distance(outputs.subarray(...range), exact).norm).toBeLessThanOrEqual(outputError * norm(exact));
      expect(keysExact).toBeLessThanOrEqual(without[row]?.keysExact as number);
    }
  });

  it('is a number where float32 cannot tell scores apart, and says that nothing is known there', () => {
    for (const scale of [1e2, 1e5, 1e10, 1e15]) {
      const random = createRandom(9);
      const rows = () => random.normals(200 * 16).map((x) => x * scale);
      const bench = createHeadBench({
        headDim: 16,
        keys: rows(),
        values: rows(),
        precision: 'f32',
        encodings: ENCODINGS,
      });
      const query = random.normals(16).map((x) => x * scale);
      for (const policy of sparsePolicyNames()) {
        for (const spec of [{ budget: 'fixed:8' }, { budget: 'mass:0.1' }, { budget: 'fixed:8', certify: 0.05 }]) {
          const { sparse } = createPolicy({ policy, ...spec });
          const { results } = attendByPolicy(bench.query(query), sparse as SparseParts);
          const { kind, tailMass, outputError, outcome } = results[0] as RowResult;
          const what = `${policy}, ${JSON.stringify(spec)}, ${scale}: ${tailMass}, ${outputError}`;
          expect(tailMass >= 0 && tailMass <= 1 && outputError >= 0, what).toBe(true);
          if (kind === 'certified' && outcome !== 'full' && scale > 1e4)
            expect([tailMass, outputError], what).toEqual([1, Infinity]);
        }
      }
    }
  });

  it('reads hardly more keys than an oracle would: those with the largest scores', () => {
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
        const result = attendByPolicy(bench.query(row), open('sieve', mass), 1).results[0];
        const what = `${shape}, ${mass}`;
        expect(result?.keysExact, what).toBeGreaterThanOrEqual(700 - dropped);
        if (shape === 'normal') expect(result?.keysExact, what).toBeLessThan(1.1 * (700 - dropped));
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
    });
    expect(certified.certificate).toBe('certified');
    expect(certified.tailMass.max).toBeLessThanOrEqual(0.001);
    expect(certified.rowsCertificateFallback + certified.rowsFull).toBe(3);
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
