import { describe, expect, it } from 'vitest';
import type { ModelConfig } from './config.ts';
import { createRope, extendedRopeTheta } from './rope.ts';

const config = { ropeTheta: 100_000, ropeDimensions: 64, ropeScale: 1, contextLength: 8192 } as ModelConfig;

describe('stretchedTheta', () => {
  it('is the model’s own up to the length that it was trained for', () => {
    expect(extendedRopeTheta(config, 100)).toBe(100_000);
    expect(extendedRopeTheta(config, 8192)).toBe(100_000);
  });

  it('is about 420,000 for 32K over 8K', () => {
    expect(extendedRopeTheta(config, 32_768)).toBeCloseTo(100_000 * 4 ** (64 / 62), 6);
    expect(Math.abs(extendedRopeTheta(config, 32_768) / 420_000 - 1)).toBeLessThan(0.01);
  });

  it('keeps the fastest angle and stretches the slowest by as much as the context', () => {
    const original = createRope(config, 8192);
    const extended = createRope(config, 32_768);
    expect(extended(1, 1).cos[0]).toBe(original(1, 1).cos[0]);
    expect(extended(4000, 1).sin[31]).toBeCloseTo(original(1000, 1).sin[31] as number, 6);
  });
});

describe('createRope', () => {
  it('gives cosines and sines of position x theta^(-2i/d), a row a position', () => {
    const { cos, sin } = createRope(config, 8192)(8000, 3);
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

  it('divides by the scale of positions and by the factors of frequencies', () => {
    const factors = Float32Array.from({ length: 32 }, (_, i) => i + 1);
    const rope = createRope({ ...config, ropeScale: 2 }, 8192, factors);
    expect(rope(12, 1).sin[2]).toBeCloseTo(Math.sin((12 / 2 / 3) * 100_000 ** (-2 / 32)), 6);
  });
});
