import { afterEach, describe, expect, it } from 'vitest';
import { createRandom } from '../../test/random.ts';
import { type Attention, createAttention } from './attention.ts';
import { planSplit } from './planner.ts';

const SHAPE = { layers: 1, heads: 9, keyValueHeads: 3, headDim: 64, encodings: ['bounds', 'int4'] } as const;
const N = 4500;
const GROUP = 3 * SHAPE.headDim;

let open: Attention[] = [];

afterEach(async () => {
  await Promise.all(open.map((attention) => attention.dispose()));
  open = [];
});

/** The same cache for any number of threads. */
async function attentionOf(threads: number): Promise<{ attention: Attention; queries: Float32Array }> {
  const attention = await createAttention({ ...SHAPE, capacity: N, threads });
  open.push(attention);
  const random = createRandom(5);
  const width = SHAPE.keyValueHeads * SHAPE.headDim;
  attention.cache.reserve(N);
  attention.cache.write(
    0,
    0,
    random.normals(N * width),
    random.normals(N * width).map((x) => x + 1),
  );
  attention.cache.commit(N);
  return { attention, queries: random.normals(SHAPE.heads * SHAPE.headDim).map((x) => 1.5 * x) };
}

describe('the groups of a position', () => {
  it('are split where they do not share out evenly over the threads, and have keys enough', () => {
    expect(planSplit(3, 1, 1e5)).toBeUndefined();
    expect(planSplit(3, 3, 1e5)).toBeUndefined();
    expect(planSplit(4, 2, 1e5)).toBeUndefined();
    expect(planSplit(3, 2, 2047)).toBeUndefined();
    expect(planSplit(3, 2, 2048)).toEqual({ unsplitGroups: 2, parts: 2 });
    expect(planSplit(1, 4, 1e5)).toEqual({ unsplitGroups: 0, parts: 4 });
    expect(planSplit(5, 4, 1e5)).toEqual({ unsplitGroups: 4, parts: 4 });
    expect(planSplit(3, 16, 1e5)).toEqual({ unsplitGroups: 0, parts: 5 });
  });

  it('come to the same where they are whole, and as near to dense attention where they are split', async () => {
    const [one, two] = [await attentionOf(1), await attentionOf(2)];
    const errors = { unsplit: 0, split: 0, estimated: 0 };
    const rounds = 12;
    for (let round = 0; round < rounds; round++) {
      const queries = one.queries.map((x, i) => x * Math.cos(round + i));
      const request = { layer: 0, position: N - 1 - round, queries, policy: { policy: 'sieve', budget: 'fixed:64' } };
      const dense = one.attention.attend({ ...request, policy: { policy: 'dense' } }).outputs;
      const whole = one.attention.attend(request);
      const split = two.attention.attend(request);
      // Two groups whole, and the third in two parts.
      expect(split.outputs.subarray(0, 2 * GROUP)).toEqual(whole.outputs.subarray(0, 2 * GROUP));
      expect(split.outputs.subarray(2 * GROUP)).not.toEqual(whole.outputs.subarray(2 * GROUP));
      const [read, asked] = [split.report, whole.report];
      expect(read.rows).toBe(asked.rows);
      expect(read.rowsFull).toBe(0);
      expect(read.certificate).toBe('estimated');
      expect((read.keysExact + read.keysQuantized) / (asked.keysExact + asked.keysQuantized)).toBeCloseTo(1, 1);
      expect(read.bytesRead / asked.bytesRead).toBeCloseTo(1, 1);
      errors.unsplit += errorOf(whole.outputs, dense) / rounds;
      errors.split += errorOf(split.outputs, dense) / rounds;
      errors.estimated += read.outputError.sum / read.rows / rounds;
    }
    expect(errors.split).toBeLessThan(1.25 * errors.unsplit);
    expect(errors.split).toBeLessThan(1.5 * errors.estimated);
    expect(errors.split).toBeGreaterThan(errors.estimated / 1.5);
  });

  it('are certified where they are whole and where they are split, which takes some more keys', async () => {
    const [one, two] = [await attentionOf(1), await attentionOf(2)];
    const policy = { policy: 'sieve', certify: 0.05 };
    for (const scale of [3, 12]) {
      const queries = one.queries.map((x) => scale * x);
      const request = { layer: 0, position: N - 1, queries };
      const dense = one.attention.attend({ ...request, policy: { policy: 'dense' } }).outputs;
      const whole = one.attention.attend({ ...request, policy });
      const split = two.attention.attend({ ...request, policy });
      expect(split.outputs.subarray(0, 2 * GROUP)).toEqual(whole.outputs.subarray(0, 2 * GROUP));
      expect(split.outputs.subarray(2 * GROUP)).not.toEqual(whole.outputs.subarray(2 * GROUP));
      expect(split.report).toMatchObject({ rows: 9, rowsFull: 0, certificate: 'certified' });
      expect(split.report.tailMass.max).toBeLessThanOrEqual(0.05);
      expect(split.report.keysExact / whole.report.keysExact).toBeGreaterThan(1);
      expect(split.report.keysExact / whole.report.keysExact).toBeLessThan(2);
      expect(errorOf(split.outputs, dense)).toBeLessThan(split.report.outputError.max);
    }
  });

  it('are done whole where a group reads most of its keys', async () => {
    const [one, two] = [await attentionOf(1), await attentionOf(2)];
    const { queries } = one;
    const request = { layer: 0, position: N - 1, queries, policy: { policy: 'sieve', budget: 'fixed:1000' } };
    expect(two.attention.attend(request).outputs).toEqual(one.attention.attend(request).outputs);
  });
});

/** Mean over the heads of the third group of ||o' - o|| / ||o||. */
function errorOf(outputs: Float32Array, truth: Float32Array): number {
  let error = 0;
  for (let head = 6; head < 9; head++) {
    const [from, to] = [head * SHAPE.headDim, (head + 1) * SHAPE.headDim];
    const exact = truth.subarray(from, to);
    const off = outputs.subarray(from, to).map((x, i) => x - (exact[i] as number));
    error += Math.hypot(...off) / Math.hypot(...exact) / 3;
  }
  return error;
}
