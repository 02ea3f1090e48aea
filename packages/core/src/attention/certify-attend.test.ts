/** Certificates that are asked for, by way of the threads and into the report. */
import { describe, expect, it } from 'vitest';
import { headRows } from '../../test/attention-bench.ts';
import { roundedToHalves } from '../../test/halves.ts';
import { KEY_SHAPE_NAMES, type KeyShapeName, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance, positionsBelow } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { PLANES } from '../kernels/layout.ts';
import { POLICY_NAMES } from '../policies/policy.ts';
import { type AttentionOptions, createAttention } from './attention.ts';

const KEYS = 320;
const HEADS = 3;
/** A length that 1 / sqrt(d) has to be rounded for. */
const HEAD_DIM = 80;
const MASSES = [0.1, 0.05, 0.01, 0.001];
const SPARSE = POLICY_NAMES.filter((name) => name !== 'dense');

/** An attention over keys of a shape, and queries (HEADS, d): the one of the shape, its opposite, and another. */
async function prepare(shape: KeyShapeName, options: Partial<AttentionOptions> = {}) {
  const random = createRandom(11);
  const { keys, values, query } = keysOfShape(shape, random, KEYS, HEAD_DIM);
  const sizes = { layers: 1, keyValueHeads: 1, heads: HEADS, headDim: HEAD_DIM, capacity: KEYS };
  const attention = await createAttention({ ...sizes, planes: PLANES, ...options });
  attention.cache.reserve(KEYS);
  attention.cache.write(0, 0, keys, values);
  attention.cache.commit(KEYS);
  const queries = Float32Array.from([...query, ...query.map((x) => -x), ...random.normals(HEAD_DIM, 2)]);
  return { attention, keys: roundedToHalves(keys), values: roundedToHalves(values), queries };
}

/** The exact outputs (HEADS, d) over the first n keys. */
const truthOf = ({ keys, values, queries }: Omit<Awaited<ReturnType<typeof prepare>>, 'attention'>, n: number) =>
  attention64({
    headDim: HEAD_DIM,
    queries: Float64Array.from(queries, (x) => x / Math.sqrt(HEAD_DIM)),
    keys,
    values,
    seen: Array.from({ length: HEADS }, () => positionsBelow(n)),
  }).outputs;

const norm = (row: ArrayLike<number>): number => Math.sqrt(Array.from(row).reduce((sum, x) => sum + x * x, 0));

describe('a certificate that is asked for', () => {
  it.for(KEY_SHAPE_NAMES)('is what the report says, with keys %s', async (shape) => {
    const { attention: opened, ...problem } = await prepare(shape, { threads: 2 });
    await using attention = opened;
    const norms = attention.cache.norms(0, 0);
    for (const n of [5, 127, KEYS]) {
      const exact = truthOf(problem, n);
      for (const policy of SPARSE) {
        for (const certify of MASSES) {
          const what = `${policy}, ${certify} of ${n}`;
          const spec = { policy, budget: 'fixed:16', certify };
          const { queries } = problem;
          const { outputs, report } = attention.attend({ layer: 0, position: n - 1, queries, policy: spec });
          expect(report.certificate, what).toBe('certified');
          expect(report.tailMass.max, what).toBeLessThanOrEqual(certify);
          expect(report.rowsExtended + report.rowsDense, what).toBeLessThanOrEqual(report.rows);
          for (let head = 0; head < HEADS; head++) {
            const truth = exact.subarray(head * HEAD_DIM, (head + 1) * HEAD_DIM);
            const found = headRows(outputs, HEADS, HEAD_DIM, head);
            // Float32 comes on top, as it does in dense attention.
            const query = norm(queries.subarray(head * HEAD_DIM, (head + 1) * HEAD_DIM)) / Math.sqrt(HEAD_DIM);
            const rounding = (Math.expm1(2 * (HEAD_DIM + 4) * 2 ** -24 * query * norms.keys) + 2e-5) * norms.values;
            const error = distance(found, truth).norm;
            expect(error, what).toBeLessThanOrEqual(report.outputError.max * norm(truth) + rounding);
          }
        }
      }
    }
  });

  it('makes rows read more, and says how many they were and what it cost', async () => {
    const { attention: opened, queries } = await prepare('normal');
    await using attention = opened;
    const request = { layer: 0, position: KEYS - 1, queries };
    const plain = attention.attend({ ...request, policy: { policy: 'window', budget: 'fixed:40' } }).report;
    const policy = { policy: 'window', budget: 'fixed:40', certify: 0.001 };
    const certified = attention.attend({ ...request, policy }).report;
    expect(plain).toMatchObject({ rowsExtended: 0, rowsDense: 0 });
    expect(certified.rowsExtended + certified.rowsDense).toBe(3);
    expect(certified.keysRead).toBeGreaterThan(plain.keysRead);
    // The bytes of the first attempt, of a scan of the codes, and of the keys that were read at last.
    const rows = certified.keysRead * 2 * HEAD_DIM * 2;
    expect(certified.bytesRead).toBeGreaterThan(plain.bytesRead + rows);
  });

  it('is kept where queries share what they read', async () => {
    const { attention: opened } = await prepare('normal');
    await using attention = opened;
    const queries = createRandom(12).normals(40 * HEADS * HEAD_DIM);
    const request = { layer: 0, position: KEYS - 40, queries, sharing: true };
    const policy = { policy: 'sieve', budget: 'fixed:4' };
    expect(attention.attend({ ...request, policy: { ...policy, certify: 0.05 } }).report.certificate).toBe('certified');
  });

  it('is the same with several threads and regions', async () => {
    const reports = [];
    for (const options of [{}, { threads: 3 }, { arenaBytes: 18 * 2 ** 16, threads: 2 }]) {
      const { attention: opened, queries } = await prepare('normal', options);
      await using attention = opened;
      if ('arenaBytes' in options) expect(attention.cache.regions.length).toBeGreaterThan(1);
      const policy = { policy: 'int8', budget: 'fixed:16', certify: 0.05 };
      reports.push(attention.attend({ layer: 0, position: KEYS - 1, queries, policy }).report);
    }
    const [one, threads, regions] = reports;
    expect(threads).toEqual(one);
    expect(regions?.keysRead).toBe(one?.keysRead);
    expect(regions?.tailMass.max).toBeCloseTo(one?.tailMass.max ?? 0, 4);
  });
});
