import { describe, expect, it } from 'vitest';
import { formatTable } from './table.ts';

describe('formatTable', () => {
  it('aligns words to the left and numbers to the right', () => {
    expect(
      formatTable(
        ['policy', 'keys', 'error'],
        [
          ['sieve', '64', '1.5 %'],
          ['window', '1,024', '~ 12 %'],
        ],
      ),
    ).toBe(['policy   keys   error', 'sieve      64   1.5 %', 'window  1,024  ~ 12 %'].join('\n'));
  });

  it('stands missing cells and no rows', () => {
    expect(formatTable(['a', 'b'], [['x']])).toBe('a  b\nx');
    expect(formatTable(['name'], [])).toBe('name');
  });
});
