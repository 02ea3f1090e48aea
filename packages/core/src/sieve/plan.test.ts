import { describe, expect, it } from 'vitest';
import { blockSampling } from './block.ts';
import { coversAllKeys, planDraw, planExactKeys, sampleSize } from './plan.ts';

describe('the sample of a budget', () => {
  it('has three keys for each of the budget, and at least 128 beside the always included ones', () => {
    expect(sampleSize(256, 8192)).toBe(768);
    // 4 sinks, 32 recent keys and 128.
    expect(sampleSize(16, 8192)).toBe(164);
    // The open page of 40 keys is always included: 4 sinks, 40 keys and 128.
    expect(sampleSize(16, 8192 + 40)).toBe(172);
  });

  it('draws sinks and recent keys always, and others by a seed of the position', () => {
    expect(planDraw(8192, 768)).toEqual({ n: 8192, sinks: 4, recentFrom: 8160, maxKeys: 768, seed: 8192 });
    expect(planDraw(8192 + 40, 768)).toEqual({ n: 8232, sinks: 4, recentFrom: 8192, maxKeys: 768, seed: 8232 });
  });

  it('covers all keys where neither the budget nor the sample leaves one out', () => {
    expect(coversAllKeys(256, 256)).toBe(true);
    expect(coversAllKeys(255, 256)).toBe(false);
    // The sample has all 160 keys, but the budget attends to 100 of them exactly.
    expect(coversAllKeys(100, 160)).toBe(false);
  });
});

describe('the keys that are attended exactly', () => {
  it('are those of at least 8 / m of the sum, sinks and recent keys first, no more than the budget', () => {
    const minLogShare = Math.log(8 / 768);
    expect(planExactKeys(256, 8192, 8)).toEqual({ maxKeys: 256, minLogShare, sinks: 4, recentFrom: 8160 });
    // The 40 keys of the open page are attended exactly too, and count.
    expect(planExactKeys(256, 8232, 8)).toMatchObject({ maxKeys: 216, sinks: 4, recentFrom: 8200 });
  });

  it('are the sinks alone where the open page uses up the budget', () => {
    expect(planExactKeys(16, 8232, 8)).toMatchObject({ maxKeys: 4, sinks: 4 });
  });
});

describe('the sample of a block', () => {
  it('is of the full pages before the 128 recent keys, 3.5 keys for each of the budget and the head', () => {
    const plan = (limit: number, factor: number) => blockSampling.plan(limit, () => 256, factor);
    expect(plan(8193, 1)).toEqual({ pastKeys: 8064, maxKeys: 896 });
    expect(plan(8193, 0.5)).toEqual({ pastKeys: 8064, maxKeys: 448 });
  });

  it('is not drawn where it would have three quarters of the keys', () => {
    expect(blockSampling.plan(1300, () => 256, 1)).toBeUndefined();
    expect(blockSampling.plan(100, () => 256, 1)).toBeUndefined();
  });
});
