import { describe, expect, it } from 'vitest';
import { dequantizableTypes, dequantize } from './dequantize.ts';
import { requireFinite } from './finite.ts';
import { ggmlBlock } from './types.ts';

describe('requireFinite', () => {
  it.each(dequantizableTypes)('refuses a %s block exactly where its values are not finite', (type) => {
    const { bytes: blockBytes } = ggmlBlock(type);
    let refused = 0;
    // Set two bytes of the second block to ones, at each place: a NaN where they are a float, else an integer.
    for (let place = 0; place + 1 < blockBytes; place++) {
      const bytes = new Uint8Array(3 * blockBytes).fill(17);
      bytes.fill(255, blockBytes + place, blockBytes + place + 2);
      const finite = dequantize(type, bytes).every(Number.isFinite);
      const check = () => requireFinite({ name: 'w', type }, bytes);
      if (finite) expect(check).not.toThrow();
      else {
        refused += 1;
        const found = expect.stringContaining('block 1');
        expect(check).toThrow(expect.objectContaining({ code: 'not-a-number', found }));
      }
    }
    expect(refused).toBeGreaterThan(0);
  });

  it('passes infinity over only where it does not occur', () => {
    const check = (values: number[]) => () =>
      requireFinite({ name: 'w', type: 'F32' }, new Uint8Array(Float32Array.from(values).buffer));
    expect(check([0, 1, -3.4e38, 1e-45])).not.toThrow();
    expect(check([0, Number.NEGATIVE_INFINITY])).toThrow(expect.objectContaining({ code: 'not-a-number' }));
  });
});
