import { describe, expect, it } from 'vitest';
import { decadeTicks, octaveTicks } from './ticks.ts';

describe('ticks of logarithmic axes', () => {
  it('are powers of two, fewer where there would be many, and the last one always', () => {
    expect(octaveTicks(512, 8192)).toEqual([512, 1024, 2048, 4096, 8192]);
    expect(octaveTicks(512, 8192, 4)).toEqual([512, 2048, 8192]);
    expect(octaveTicks(252, 65_536)).toEqual([256, 1024, 4096, 16_384, 65_536]);
    expect(octaveTicks(300, 400)).toEqual([]);
  });

  it('are powers of ten, with 2 and 5 between them where there are few', () => {
    expect(decadeTicks([12, 300])).toEqual([20, 50, 100, 200]);
    expect(decadeTicks([0.001, 100])).toEqual([0.001, 0.01, 0.1, 1, 10, 100]);
    expect(decadeTicks([0, 0.02, 0.5])).toEqual([0.02, 0.05, 0.1, 0.2, 0.5]);
    expect(decadeTicks([32, 32])).toEqual([32]);
  });
});
