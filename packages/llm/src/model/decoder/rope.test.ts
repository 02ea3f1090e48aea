import { describe, expect, it } from 'vitest';
import { createRope, extendedRopeTheta, type RopeSpec } from './rope.ts';

const config = { ropeTheta: 100_000, ropeDimensions: 64, contextLength: 8192 };
const spec: RopeSpec = { theta: 100_000, dimensions: 64, trainedContext: 8192, divisor: 1, magnitude: 1 };

describe('extendedRopeTheta', () => {
  it('is the model’s own up to the length that it was trained for', () => {
    expect(extendedRopeTheta(config, 100)).toBe(100_000);
    expect(extendedRopeTheta(config, 8192)).toBe(100_000);
  });

  it('is about 420,000 for 32K over 8K', () => {
    expect(extendedRopeTheta(config, 32_768)).toBeCloseTo(100_000 * 4 ** (64 / 62), 6);
    expect(Math.abs(extendedRopeTheta(config, 32_768) / 420_000 - 1)).toBeLessThan(0.01);
  });

  it('keeps the fastest angle and stretches the slowest by as much as the context', () => {
    const original = createRope(spec, 8192);
    const extended = createRope(spec, 32_768);
    expect(extended(1, 1).cos[0]).toBe(original(1, 1).cos[0]);
    expect(extended(4000, 1).sin[31]).toBeCloseTo(original(1000, 1).sin[31] as number, 6);
  });
});

describe('createRope', () => {
  it('gives cosines and sines of position x theta^(-2i/d), a row a position', () => {
    const { cos, sin } = createRope(spec, 8192)(8000, 3);
    expect(cos.length).toBe(3 * 32);
    for (const [row, pair] of [
      [0, 0],
      [1, 5],
      [2, 31],
    ] as const) {
      const angle = (8000 + row) * 100_000 ** (-pair / 32);
      expect(cos[row * 32 + pair]).toBe(Math.fround(Math.cos(angle)));
      expect(sin[row * 32 + pair]).toBe(Math.fround(Math.sin(angle)));
    }
  });

  it('divides angles by the factor of linear scaling and by the factors of pairs', () => {
    const factors = Float32Array.from({ length: 32 }, (_, i) => i + 1);
    const rope = createRope({ ...spec, divisor: 2 }, 8192, factors);
    expect(rope(12, 1).sin[2]).toBeCloseTo(Math.sin((12 / 2 / 3) * 100_000 ** (-2 / 32)), 6);
  });

  it('multiplies cosines and sines by its magnitude', () => {
    const rope = createRope({ ...spec, magnitude: 1.5 }, 8192);
    expect(rope(0, 1).cos[0]).toBe(1.5);
    expect(rope(7, 1).sin[0]).toBeCloseTo(1.5 * Math.sin(7), 6);
  });

  it('with YaRN leaves fast pairs as they are and divides slow ones', () => {
    const yarn = { originalContext: 2048, betaFast: 32, betaSlow: 1 };
    const rope = createRope({ ...spec, divisor: 4, yarn }, 8192)(100, 1);
    const turned = (pair: number, divisor: number) => Math.sin((100 / divisor) * 100_000 ** (-pair / 32));
    // Pair 6 turns 37 times in 2,048 positions, pair 17 not once.
    expect(rope.sin[6]).toBeCloseTo(turned(6, 1), 6);
    expect(rope.sin[17]).toBeCloseTo(turned(17, 4), 6);
    expect(Math.abs((rope.sin[12] as number) - turned(12, 1))).toBeGreaterThan(1e-3);
    expect(Math.abs((rope.sin[12] as number) - turned(12, 4))).toBeGreaterThan(1e-3);
  });

  it.each([Number.POSITIVE_INFINITY, 0, -1, Number.NaN])('refuses a factor of %d', (factor) => {
    const factors = new Float32Array(32).fill(1);
    factors[7] = factor;
    expect(() => createRope(spec, 8192, factors)).toThrow(
      expect.objectContaining({ code: 'not-a-number', found: `${factor} at 7` }),
    );
  });
});
