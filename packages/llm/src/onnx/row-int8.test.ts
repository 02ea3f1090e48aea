import { describe, expect, it } from 'vitest';
import { createRandom, randomFloats } from '../../test/random.ts';
import { hadamardSize, rotate } from './rotation.ts';
import { MAX_INT8, quantizeRows, ZERO_POINT } from './row-int8.ts';

const rowLength = 192;

describe.each(['signed', 'unsigned'] as const)('%s row codes', (signedness) => {
  const offsetsOf = (quantized: Uint8Array) =>
    [...(signedness === 'signed' ? new Int8Array(quantized) : quantized)].map(
      (value) => value - ZERO_POINT[signedness],
    );

  it('stand for rotated weights, to half a step', () => {
    const values = randomFloats(createRandom(1), 5 * rowLength);
    const { quantized, scales } = quantizeRows(values.slice(), rowLength, signedness);
    const rotated = values.slice();
    rotate(rotated, hadamardSize(rowLength));
    for (const [i, offset] of offsetsOf(quantized).entries()) {
      const scale = scales[Math.floor(i / rowLength)] as number;
      const error = scale * offset - (rotated[i] as number);
      expect(Math.abs(error)).toBeLessThanOrEqual(0.5001 * scale);
    }
    for (let row = 0; row < 5; row++) {
      const offsets = offsetsOf(quantized.subarray(row * rowLength, (row + 1) * rowLength));
      expect(Math.max(...offsets.map(Math.abs))).toBe(MAX_INT8);
    }
  });

  it('of a row of zeros are zeros', () => {
    const { quantized, scales } = quantizeRows(new Float32Array(64), 64, signedness);
    expect(new Set(quantized)).toEqual(new Set([ZERO_POINT[signedness]]));
    expect(scales[0]).toBe(1);
  });
});
