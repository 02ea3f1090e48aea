import { describe, expect, it } from 'vitest';
import { createRandom } from './numbers.ts';
import { createResidualSketch } from './residual-sketch.ts';

describe('a residual sketch', () => {
  it('has nothing left beyond the rank of rows that were sketched before', () => {
    const random = createRandom(5);
    const [first, second] = [random.normals(24), random.normals(24)];
    const sketch = createResidualSketch(24, 1);
    for (let i = 0; i < 100; i++) {
      sketch.addSketchedRow(
        i,
        first.map((x, j) => Math.sin(i) * x + Math.cos(i) * (second[j] as number)),
      );
    }
    const [whole = 0, one = 0, two = 0] = sketch.residuals([0, 1, 2]);
    expect(one).toBeGreaterThan(0.1 * whole);
    expect(two).toBeLessThan(1e-6 * whole);
  });

  it('goes on from what was sketched before, and refuses another size', () => {
    const kept = new Float32Array(64);
    createResidualSketch(8, 1, kept).add(3, 4, 2);
    const sketch = createResidualSketch(8, 1, kept);
    expect(sketch.residuals([0, 1])).toEqual([2, 0]);
    expect(() => createResidualSketch(9, 1, kept)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });
});
