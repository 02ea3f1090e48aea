import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hadamardMatrix, hadamardSize, rotate } from './rotation.ts';

const numbers = (length: number) =>
  fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: length, maxLength: length });
const partAndRow = fc
  .tuple(fc.constantFrom(1, 2, 8, 64), fc.integer({ min: 1, max: 4 }))
  .chain(([part, count]) => numbers(part * count).map((row) => ({ part, row: Float32Array.from(row) })));
const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * (b[i] as number), 0);
const length = (row: Float32Array) => Math.sqrt(dot(row, row));

describe('the rotation', () => {
  it('has parts that divide the row', () => {
    expect([576, 1536, 4096, 48, 32, 7, 1].map(hadamardSize)).toEqual([64, 64, 64, 16, 32, 1, 1]);
  });

  it('is its own inverse, and keeps the length of a row', () => {
    fc.assert(
      fc.property(partAndRow, ({ part, row }) => {
        const rotated = row.slice();
        rotate(rotated, part);
        // Seven sums of two and a product, each rounded, there and back.
        const rounding = 16 * 2 ** -24 * length(row) + 1e-30;
        expect(Math.abs(length(rotated) - length(row))).toBeLessThanOrEqual(rounding);
        rotate(rotated, part);
        for (const [i, x] of row.entries()) expect(Math.abs((rotated[i] as number) - x)).toBeLessThanOrEqual(rounding);
      }),
    );
  });

  it('is what its matrix says', () => {
    fc.assert(
      fc.property(numbers(16), (row) => {
        const rotated = Float32Array.from(row);
        rotate(rotated, 16);
        const matrix = hadamardMatrix(16);
        for (let i = 0; i < 16; i++) {
          const expected = dot(matrix.subarray(16 * i, 16 * i + 16), Float32Array.from(row));
          expect(Math.abs((rotated[i] as number) - expected)).toBeLessThanOrEqual(
            1e-6 * length(Float32Array.from(row)),
          );
        }
      }),
    );
  });

  it('spreads a single value over its part', () => {
    const row = new Float32Array(64);
    row[5] = 8;
    rotate(row, 64);
    expect(new Set(row.map(Math.abs))).toEqual(new Set([1]));
  });
});
