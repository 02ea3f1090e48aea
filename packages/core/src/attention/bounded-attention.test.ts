import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/errors.ts';
import { fewKeys } from '../../test/few-keys.ts';
import { createRandom } from '../../test/random.ts';
import { createAttention } from './attention.ts';
import { type BoundedAttention, type BoundedRows, createBoundedAttention, PART_TOKENS } from './bounded-attention.ts';
import { addReport, emptyReport } from './report.ts';

const SHAPE = { layers: 2, keyValueHeads: 2, heads: 6, headDim: 16, threads: 1 } as const;
const POLICY = { policy: 'remains', budget: 'fixed:40' };
const KEY_WIDTH = SHAPE.keyValueHeads * SHAPE.headDim;
const WIDTH = SHAPE.heads * SHAPE.headDim;

/** The tokens [from, to) of a text; the second layer sees it from its end. */
function partOf({ queries, keys, values }: BoundedRows, layer: number, from: number, to: number): BoundedRows {
  const sign = layer === 0 ? 1 : -1;
  const rows = (all: Float32Array, width: number) => all.slice(from * width, to * width).map((x) => sign * x);
  return { queries: rows(queries, WIDTH), keys: rows(keys, KEY_WIDTH), values: rows(values, KEY_WIDTH) };
}

const beginningOf = ({ queries, keys, values }: BoundedRows, count: number): BoundedRows => ({
  queries: queries.subarray(0, count * WIDTH),
  keys: keys.subarray(0, count * KEY_WIDTH),
  values: values.subarray(0, count * KEY_WIDTH),
});

/** Reads a text in passes of `pass` tokens. Gives the outputs (layers, n, heads, headDim). */
function read(attention: BoundedAttention, text: BoundedRows, pass: number, from = 0) {
  const n = text.queries.length / WIDTH;
  const outputs = Array.from({ length: SHAPE.layers }, () => new Float32Array((n - from) * WIDTH));
  const report = emptyReport();
  for (let done = from; done < n; ) {
    const to = Math.min(n, done + Math.min(pass, attention.room));
    attention.reserve(to - done);
    for (const [layer, target] of outputs.entries()) {
      const rows = target.subarray((done - from) * WIDTH, (to - from) * WIDTH);
      addReport(report, attention.attend(layer, partOf(text, layer, done, to), rows));
    }
    attention.commit();
    done = to;
  }
  return { outputs, report };
}

/** Full attention to all keys. */
async function readInFull(text: BoundedRows): Promise<Float32Array[]> {
  const n = text.queries.length / WIDTH;
  await using attention = await createAttention({ ...SHAPE, capacity: n, precision: 'f32' });
  attention.cache.reserve(n);
  return Array.from({ length: SHAPE.layers }, (_, layer) => {
    const { queries, keys, values } = partOf(text, layer, 0, n);
    attention.cache.write(layer, 0, keys, values);
    return attention.attend({ layer, position: 0, queries, policy: { policy: 'dense' } }).outputs;
  });
}

const randomText = (n: number): BoundedRows => {
  const random = createRandom(n);
  return {
    queries: random.normals(n * WIDTH),
    keys: random.normals(n * KEY_WIDTH),
    values: random.normals(n * KEY_WIDTH),
  };
};

const largestDifference = (a: readonly Float32Array[], b: readonly Float32Array[]) =>
  Math.max(
    ...a.map((rows, layer) => rows.reduce((max, x, i) => Math.max(max, Math.abs(x - (b[layer]?.[i] as number))), 0)),
  );

describe('attention in bounded memory', () => {
  it('is full attention as long as nothing is dropped', async () => {
    const text = randomText(700);
    await using attention = await createBoundedAttention({
      ...SHAPE,
      policy: { policy: 'remains', budget: 'fixed:700' },
    });
    const { outputs, report } = read(attention, text, 100);
    expect(largestDifference(outputs, await readInFull(text))).toBeLessThan(1e-5);
    expect(report).toMatchObject({ certificate: 'certified', tailMass: { sum: 0 }, goneAtLeast: { sum: 0 } });
    expect(report.keysExact).toBe(report.keys);
    expect(report.rowsFull).toBe(report.rows);
  });

  it('is full attention where what is dropped is a few different keys', async () => {
    const text = fewKeys(SHAPE, 1500, 20);
    await using attention = await createBoundedAttention({ ...SHAPE, policy: POLICY });
    const { outputs, report } = read(attention, text, PART_TOKENS);
    expect(largestDifference(outputs, await readInFull(text))).toBeLessThan(1e-4);
    expect(report.certificate).toBe('estimated');
    // What is said to be gone at least is all of it then, but for rounding.
    expect(report.goneAtLeast.sum).toBeLessThanOrEqual(report.tailMass.sum);
    expect(report.goneAtLeast.sum).toBeGreaterThan(0.98 * report.tailMass.sum);
    expect(report.tailMass.sum / report.rows).toBeGreaterThan(0.3);
  });

  it('gives the same token by token, and takes no more memory for more tokens', async () => {
    const text = randomText(1100);
    const [whole, single] = [
      await createBoundedAttention({ ...SHAPE, policy: POLICY }),
      await createBoundedAttention({ ...SHAPE, policy: POLICY }),
    ];
    await using _ = whole;
    await using __ = single;
    const expected = read(whole, text, PART_TOKENS).outputs;
    expect(largestDifference(read(single, text, 7).outputs, expected)).toBeLessThan(1e-5);
    const { bytes, length } = whole;
    expect(length).toBe(1100);
    read(whole, randomText(1024), PART_TOKENS);
    read(whole, randomText(1024), PART_TOKENS);
    expect(whole.bytes).toBe(bytes);
    expect(whole.length).toBe(3148);
  });

  it('goes on in a fork as in what it was forked from, and neither disturbs the other', async () => {
    const text = randomText(900);
    await using attention = await createBoundedAttention({ ...SHAPE, policy: POLICY });
    const { outputs } = read(attention, text, 200);
    await using begun = await createBoundedAttention({ ...SHAPE, policy: POLICY });
    read(begun, beginningOf(text, 600), 200);
    await using fork = await begun.fork();
    read(fork, randomText(300), 200);
    await using other = await begun.fork();
    for (const each of [begun, other]) {
      const rest = read(each, text, 200, 600).outputs;
      const expected = outputs.map((all) => all.subarray(600 * WIDTH));
      expect(largestDifference(rest, expected)).toBeLessThan(1e-5);
      expect(each.length).toBe(900);
    }
  });

  it('goes on after a pass that failed as if it had not been', async () => {
    const text = randomText(600);
    await using attention = await createBoundedAttention({ ...SHAPE, policy: POLICY });
    await using other = await createBoundedAttention({ ...SHAPE, policy: POLICY });
    const { outputs } = read(other, text, 200);
    read(attention, beginningOf(text, 456), 200);
    attention.reserve(10);
    const rows = partOf(text, 0, 456, 466);
    attention.attend(0, rows, new Float32Array(10 * WIDTH));
    const broken = { ...rows, keys: rows.keys.map(() => Number.NaN) };
    expectError('not-a-number', () => attention.attend(1, broken, new Float32Array(10 * WIDTH)));
    const rest = read(attention, text, 200, 456).outputs;
    const expected = outputs.map((all) => all.subarray(456 * WIDTH));
    expect(largestDifference(rest, expected)).toBeLessThan(1e-5);
  });

  it('refuses passes that are too long, and what would not be bounded', async () => {
    await using attention = await createBoundedAttention({ ...SHAPE, policy: POLICY });
    for (const count of [0, PART_TOKENS + 1, 1.5]) expectError('invalid-argument', () => attention.reserve(count));
    for (const policy of [
      { policy: 'sieve', budget: 'fixed:40' },
      { policy: 'dense' },
      { policy: 'remains', budget: 'power:2,0.5' },
      { policy: 'remains', budget: 'fraction:0.1' },
    ]) {
      await expect(createBoundedAttention({ ...SHAPE, policy })).rejects.toMatchObject({ code: 'invalid-argument' });
    }
  });
});
