import { describe, expect, it } from 'vitest';
import { formatBytes, formatCount, formatLength, formatNumber, formatShare } from './format.ts';

describe('numbers as people read them', () => {
  it('are short, with units', () => {
    expect(formatCount(12_345.4)).toBe('12,345');
    expect([0, 1000, 1536, 200 * 1024, 3 * 1024 ** 3].map(formatBytes)).toEqual([
      '0 B',
      '1000 B',
      '1.5 KiB',
      '200 KiB',
      '3.0 GiB',
    ]);
    expect([0.0316, 1, 0.00012].map(formatShare)).toEqual(['3.2 %', '100 %', '0.012 %']);
    expect([0.012345, 1.2345, 0].map((x) => formatNumber(x))).toEqual(['0.0123', '1.23', '0']);
  });

  it('name powers of two by their units, and no others', () => {
    expect([512, 1024, 8192, 131_072, 1_048_576, 1000, 1_000_000].map(formatLength)).toEqual([
      '512',
      '1K',
      '8K',
      '128K',
      '1M',
      '1,000',
      '1,000,000',
    ]);
  });
});
