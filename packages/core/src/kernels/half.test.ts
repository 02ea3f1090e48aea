import { describe, expect, it } from 'vitest';
import { HALVES, nearestHalf } from '../../test/halves.ts';
import { createRandom } from '../../test/random.ts';
import { floatToHalf, halfToFloat, LARGEST_HALF } from './half.ts';

describe('halves', () => {
  it('stand for what the standard says, and come back as they are', () => {
    for (let bits = 0; bits < 65_536; bits++) {
      if (!Object.is(halfToFloat(bits), HALVES[bits])) expect.fail(`${bits}: ${halfToFloat(bits)}`);
      const isNumber = !Number.isNaN(HALVES[bits]);
      if (floatToHalf(halfToFloat(bits)) !== (isNumber ? bits : 0x7e00)) expect.fail(`${bits} comes back as another`);
    }
    expect(halfToFloat(0x7bff)).toBe(LARGEST_HALF);
  });

  it('are the nearest to a number, and infinite beyond the largest', () => {
    const random = createRandom(1);
    for (let i = 0; i < 20_000; i++) {
      const x = random.normal() * 2 ** (random.below(50) - 30);
      if (Math.abs(x) < 65_520) expect(floatToHalf(x)).toBe(nearestHalf(x));
    }
    expect([65_519.999, 65_520, -65_520, Number.POSITIVE_INFINITY].map(floatToHalf)).toEqual([
      0x7bff, 0x7c00, 0xfc00, 0x7c00,
    ]);
  });
});
