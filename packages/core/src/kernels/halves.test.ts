import { expect, it } from 'vitest';
import { createRandom } from '../../test/random.ts';
import { fromHalves, toHalves } from './halves.ts';

it('keeps numbers of any size to eleven digits, and float16 numbers as they are', () => {
  for (const scale of [1e-30, 1e-6, 1, 1e9, 1e30]) {
    const numbers = Float64Array.from(createRandom(1).normals(200), (x) => x * scale);
    const read = new Float64Array(200);
    fromHalves(toHalves(numbers), read);
    for (const [i, x] of numbers.entries()) {
      expect(Math.abs((read[i] as number) - x)).toBeLessThanOrEqual(2 ** -11 * Math.abs(x) + 1e-9 * scale);
    }
    const again = new Float64Array(200);
    fromHalves(toHalves(read), again);
    expect(again).toEqual(read);
  }
  const zeros = new Float64Array(3).fill(1);
  fromHalves(toHalves(new Float64Array(3)), zeros);
  expect(zeros).toEqual(new Float64Array(3));
});
