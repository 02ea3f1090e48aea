/** Which basis a head's scan gets, and what it does for a head whose queries look at few dimensions. */
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../test/random.ts';
import { createAttention } from '../index.ts';
import type { ScanBasis } from '../kernels/scan-basis.ts';
import { chooseScanBasis } from './scan-basis.ts';

const HEAD_DIM = 64;
/** Pairs of neighbours. */
const PARTNERS = Int32Array.from({ length: HEAD_DIM }, (_, i) => i ^ 1);

/** Queries that are long in the first `long` dimensions, and normal keys. */
function headWith(long: number, n: number, heads: number, seed: number) {
  const random = createRandom(seed);
  const scale = (i: number) => (i % HEAD_DIM < long ? 6 : 0.3);
  return {
    headDim: HEAD_DIM,
    heads,
    partners: PARTNERS,
    keys: random.normals(n * HEAD_DIM),
    queries: random.normals(n * heads * HEAD_DIM).map((x, i) => x * scale(i)),
  };
}

describe('chooseScanBasis', () => {
  it('keeps whole pairs in which queries are long, first those of two bits', () => {
    const basis = chooseScanBasis(headWith(16, 384, 2, 1)) as ScanBasis;
    expect(basis.dimensions).toHaveLength(48);
    expect([...basis.dimensions.slice(0, 16)].sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i));
    for (let i = 0; i < 48; i += 2) {
      expect(PARTNERS[basis.dimensions[i] as number]).toBe(basis.dimensions[i + 1]);
      expect(basis.weights[i]).toBe(basis.weights[i + 1]);
    }
    expect(basis.weights.every((weight) => weight > 0)).toBe(true);
  });

  it('gives none where all dimensions are alike, for few keys, for sizes without a transform, and for zeros', () => {
    expect(chooseScanBasis(headWith(0, 384, 2, 2))).toBeUndefined();
    expect(chooseScanBasis(headWith(16, 128, 2, 3))).toBeUndefined();
    const zeros = headWith(16, 384, 2, 4);
    expect(chooseScanBasis({ ...zeros, queries: zeros.queries.fill(0) })).toBeUndefined();
    const wide = { headDim: 96, partners: Int32Array.from({ length: 96 }, (_, i) => i ^ 1), heads: 1 };
    const rows = createRandom(5).normals(384 * 96);
    expect(chooseScanBasis({ ...wide, keys: rows, queries: rows })).toBeUndefined();
  });

  it('says what does not fit', () => {
    const sample = headWith(16, 384, 2, 6);
    expect(() => chooseScanBasis({ ...sample, heads: 3 })).toThrowError(/queries \(n, 3, 64\)/);
  });
});

describe('a cache with bases', () => {
  const shape = { layers: 1, keyValueHeads: 1, heads: 2, headDim: HEAD_DIM, capacity: 2048, precision: 'f32' } as const;

  /** Mean relative error of the sieve's outputs for the last queries of a head. */
  async function sieveError(scanBases: (ScanBasis | undefined)[] | undefined): Promise<number> {
    const { keys, queries } = headWith(16, 2048, 2, 7);
    await using attention = await createAttention({ ...shape, encodings: ['int4'], ...(scanBases && { scanBases }) });
    attention.cache.reserve(2048);
    attention.cache.write(0, 0, keys, createRandom(8).normals(keys.length));
    attention.cache.commit(2048);
    let sum = 0;
    for (let position = 1984; position < 2048; position += 2) {
      const rows = queries.subarray(position * 2 * HEAD_DIM, (position + 1) * 2 * HEAD_DIM);
      const attend = (policy: string, budget?: string) =>
        attention.attend({
          layer: 0,
          position,
          queries: rows,
          policy: budget === undefined ? { policy } : { policy, budget },
        }).outputs;
      const [exact, sieve] = [attend('dense'), attend('sieve', 'fixed:64')];
      const norm = (x: Float32Array) => Math.sqrt(x.reduce((total, y) => total + y * y, 0));
      sum += norm(sieve.map((x, i) => x - (exact[i] as number))) / norm(exact) / 32;
    }
    return sum;
  }

  it('errs clearly less where queries look at few dimensions', async () => {
    const basis = chooseScanBasis(headWith(16, 384, 2, 9));
    expect(basis).toBeDefined();
    const [bySigns, byBasis] = [await sieveError(undefined), await sieveError([basis])];
    expect(byBasis).toBeLessThan(0.85 * bySigns);
  });

  it('scans as before where a head has no basis', async () => {
    expect(await sieveError([undefined])).toBe(await sieveError(undefined));
  });

  it.each([
    ['one for each head', []],
    ['of other dimensions', [{ dimensions: Array.from({ length: 48 }, () => 1), weights: new Array(48).fill(1) }]],
    ['without a weight', [{ dimensions: Array.from({ length: 48 }, (_, i) => i), weights: new Array(48).fill(0) }]],
  ])('refuses bases that are not %s', async (_, scanBases) => {
    await expect(createAttention({ ...shape, encodings: ['int4'], scanBases })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });

  it('certifies as without them, by bounds that need no signs', async () => {
    const { keys, queries } = headWith(16, 512, 2, 9);
    const basis = chooseScanBasis(headWith(16, 384, 2, 9));
    expect(basis).toBeDefined();
    const certified = async (scanBases?: (ScanBasis | undefined)[]) => {
      const options = { ...shape, encodings: ['bounds', 'int4'] as const, ...(scanBases && { scanBases }) };
      await using attention = await createAttention(options);
      attention.cache.reserve(512);
      attention.cache.write(0, 0, keys, createRandom(8).normals(keys.length));
      attention.cache.commit(512);
      const rows = queries.subarray(511 * 2 * HEAD_DIM, 512 * 2 * HEAD_DIM).map((x) => 4 * x);
      return attention.attend({ layer: 0, position: 511, queries: rows, policy: { policy: 'sieve', certify: 0.05 } });
    };
    const { outputs, report } = await certified([basis]);
    expect(report).toMatchObject({ certificate: 'certified', rowsFull: 0 });
    expect({ outputs, report }).toEqual(await certified());
  });
});
