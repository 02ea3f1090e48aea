import { describe, expect, it } from 'vitest';
import { createRandom, randomFloats } from '../../test/random.ts';
import { rotate, rotatedPart } from './rotation.ts';
import { encodeRowCodes, LARGEST_CODE, ZERO_CODE } from './row-codes.ts';

const rowLength = 192;

describe('row codes', () => {
  it('stand for rotated weights, to half a step', () => {
    const values = randomFloats(createRandom(1), 5 * rowLength);
    const { codes, scales } = encodeRowCodes(values.slice(), rowLength);
    const rotated = values.slice();
    rotate(rotated, rotatedPart(rowLength));
    for (const [i, code] of codes.entries()) {
      const scale = scales[Math.floor(i / rowLength)] as number;
      const error = scale * (code - ZERO_CODE) - (rotated[i] as number);
      expect(Math.abs(error)).toBeLessThanOrEqual(0.5001 * scale);
    }
    for (let row = 0; row < 5; row++) {
      const offsets = [...codes.subarray(row * rowLength, (row + 1) * rowLength)].map((code) => code - ZERO_CODE);
      expect(Math.max(...offsets.map(Math.abs))).toBe(LARGEST_CODE);
    }
  });

  it('of a row of zeros are zeros', () => {
    const { codes, scales } = encodeRowCodes(new Float32Array(64), 64);
    expect(new Set(codes)).toEqual(new Set([ZERO_CODE]));
    expect(scales[0]).toBe(1);
  });
});
