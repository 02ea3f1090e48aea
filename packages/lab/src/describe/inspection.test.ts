import { expect, it } from 'vitest';
import { describeDisk, describeLayers, describeMemory } from './inspection.ts';

it('counts the kinds of layers where there are several', () => {
  const config = { layers: 18, heads: 4, keyValueHeads: 1, headDim: 256 } as Parameters<typeof describeLayers>[0];
  const heads = ', 4 query heads on 1 key-value head of 256';
  expect(describeLayers(config, { selective: 18, windowed: 0, softCapped: 0 })).toBe(`18${heads}`);
  expect(describeLayers(config, { selective: 3, windowed: 15, softCapped: 0 })).toBe(
    `18 (3 by the policy, 15 with a window)${heads}`,
  );
  expect(describeLayers(config, { selective: 0, windowed: 9, softCapped: 9 })).toContain('9 with a soft cap');
});

it('says what windows save, and what is prepared beside the file', () => {
  const memory = { runtime: 1, weights: 2, tokenizer: 3, cache: 200, cachePerToken: 1, work: 4, total: 210 };
  expect(describeMemory({ ...memory, cacheWithoutWindows: 1000 }, 32_768)).toContain('20 % of what it would be');
  expect(describeMemory({ ...memory, cacheWithoutWindows: 200 }, 32_768)).not.toContain('windows');
  expect(describeDisk({ file: 1000, prepared: 1137 })).toContain('1.14 x the file');
});
