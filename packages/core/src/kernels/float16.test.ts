import { describe, expect, it } from 'vitest';
import { FLOAT16_VALUES, nearestFloat16 } from '../../test/float16.ts';
import { createRandom } from '../../test/random.ts';
import { float16ToFloat32, float32ToFloat16, MAX_FLOAT16 } from './float16.ts';

describe('halves', () => {
  it('stand for what the standard says, and come back as they are', () => {
    for (let bits = 0; bits < 65_536; bits++) {
      if (!Object.is(float16ToFloat32(bits), FLOAT16_VALUES[bits])) expect.fail(`${bits}: ${float16ToFloat32(bits)}`);
      const isNumber = !Number.isNaN(FLOAT16_VALUES[bits]);
      if (float32ToFloat16(float16ToFloat32(bits)) !== (isNumber ? bits : 0x7e00))
        expect.fail(`${bits} comes back as another`);
    }
    expect(float16ToFloat32(0x7bff)).toBe(MAX_FLOAT16);
  });

  it('are the nearest to a number, and infinite beyond the largest', () => {
    const random = createRandom(1);
    for (let i = 0; i < 20_000; i++) {
      const x = random.normal() * 2 ** (random.below(50) - 30);
      if (Math.abs(x) < 65_520) expect(float32ToFloat16(x)).toBe(nearestFloat16(x));
    }
    expect([65_519.999, 65_520, -65_520, Number.POSITIVE_INFINITY].map(float32ToFloat16)).toEqual([
      0x7bff, 0x7c00, 0xfc00, 0x7c00,
    ]);
  });
});
