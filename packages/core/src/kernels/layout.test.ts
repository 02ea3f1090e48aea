import { describe, expect, it } from 'vitest';
import { fromBfloat16, toBfloat16Ceil } from './bfloat16.ts';
import { drawNumber } from './draw-tables.ts';
import { completeEncodings, pageLayout, rotatedDim, rowBytes } from './layout.ts';
import { draw } from './reference/draw.ts';

describe('the record of a page', () => {
  it('has exact rows, then each encoding on a cache line of its own', () => {
    // 64 keys and 64 values of 64 float16; signs, factors, centre and two floats; 64 rows of 64 bytes and their steps.
    expect(pageLayout(64, 'f16', ['int4'])).toMatchObject({ sign: 16_384, int4: 17_152, int8: 0, bytes: 21_504 });
  });

  it('has the encodings that others need, and in an int8 cache those that hold the rows', () => {
    expect(completeEncodings(['int4'])).toEqual(['sign', 'int4']);
    expect(completeEncodings([], 'int8')).toEqual(['sign', 'int4', 'int8', 'values']);
    expect([rowBytes(64, 'f16'), rowBytes(64, 'f32'), rowBytes(64, 'int8')]).toEqual([128, 256, 66]);
    expect([rotatedDim(64), rotatedDim(80)]).toEqual([64, 96]);
  });
});

describe('bfloat16', () => {
  it('rounds up to 8 bits', () => {
    expect(fromBfloat16(toBfloat16Ceil(1))).toBe(1);
    expect(fromBfloat16(toBfloat16Ceil(1.001))).toBe(1.0078125);
    expect(toBfloat16Ceil(1)).toBe(0x3f80);
  });
});

describe('a draw', () => {
  it('takes keys whose share, in units of 2^-7 ln 2, and whose draw together reach the threshold', () => {
    // -log2 of .618, .236, .854, .472, .09, ... in units of 2^-7.
    expect([0, 1, 2, 3, 4].map(drawNumber)).toEqual([88, 266, 29, 138, 444]);
    // Priorities 188, 266, 29, 138, 444: three of the keys have room, and 139 leaves out key 3.
    const plan = { n: 5, sinks: 0, recentFrom: 5, maxKeys: 3, seed: 0 };
    const { positions, threshold } = draw([100, 0, 0, 0, 0], plan, 7);
    expect(positions).toEqual([0, 1, 4]);
    expect(threshold).toBeCloseTo((139 / 128) * Math.LN2, 12);
  });
});
