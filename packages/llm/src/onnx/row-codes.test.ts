import { describe, expect, it } from 'vitest';
import { createRandom, randomFloats } from '../../test/random.ts';
import { rotate, rotatedPart } from './rotation.ts';
import { encodeRowCodes, LARGEST_CODE, zeroCode } from './row-codes.ts';

const rowLength = 192;

describe.each(['signed', 'unsigned'] as const)('%s row codes', (kind) => {
  const offsetsOf = (codes: Uint8Array) =>
    [...(kind === 'signed' ? new Int8Array(codes) : codes)].map((code) => code - zeroCode[kind]);

  it('stand for rotated weights, to half a step', () => {
    const values = randomFloats(createRandom(1), 5 * rowLength);
    const { codes, scales } = encodeRowCodes(values.slice(), rowLength, kind);
    const rotated = values.slice();
    rotate(rotated, rotatedPart(rowLength));
    for (const [i, offset] of offsetsOf(codes).entries()) {
      const scale = scales[Math.floor(i / rowLength)] as number;
      const error = scale * offset - (rotated[i] as number);
      expect(Math.abs(error)).toBeLessThanOrEqual(0.5001 * scale);
    }
    for (let row = 0; row < 5; row++) {
      const offsets = offsetsOf(codes.subarray(row * rowLength, (row + 1) * rowLength));
      expect(Math.max(...offsets.map(Math.abs))).toBe(LARGEST_CODE);
    }
  });

  it('of a row of zeros are zeros', () => {
    const { codes, scales } = encodeRowCodes(new Float32Array(64), 64, kind);
    expect(new Set(codes)).toEqual(new Set([zeroCode[kind]]));
    expect(scales[0]).toBe(1);
  });
});
