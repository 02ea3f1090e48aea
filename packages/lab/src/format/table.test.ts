import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatFields, formatTable, wrapLine } from './table.ts';

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

const longest = (text: string) => Math.max(...text.split('\n').map((line) => line.length));

describe('a table wider than the terminal', () => {
  const names = ['policy', 'budget', 'exact keys', 'left out', 'error', 'ms a token'];
  const rows = [
    ['sieve', 'fixed:256', '38', '1.6 %', '0.066 %', '7.9'],
    ['window', 'fixed:1024', '1,024', '100 %', 'unknown', '2.4'],
  ];

  it('goes on below, beside its first column again', () => {
    const table = formatTable(names, rows, { width: 40 });
    expect(table.split('\n\n')).toHaveLength(2);
    expect(table.match(/^sieve/gm)).toHaveLength(2);
    expect(longest(table)).toBeLessThanOrEqual(40);
  });

  it('is a list for each row where the first column leaves no room', () => {
    const table = formatTable(['claim', 'answer'], [['The support of attention is constant in n', 'does not hold']], {
      width: 40,
    });
    expect(table).toBe('The support of attention is constant in\n  n\n  answer: does not hold');
  });

  it('has every cell, and no line that is longer, at any width that its longest word fits into', () => {
    const word = fc.stringMatching(/^[a-z0-9]{1,9}$/);
    const cell = fc.array(word, { minLength: 1, maxLength: 5 }).map((words) => words.join(' '));
    const table = fc.integer({ min: 1, max: 8 }).chain((columns) => {
      const line = fc.array(cell, { minLength: columns, maxLength: columns });
      return fc.tuple(line, fc.array(line, { minLength: 1, maxLength: 4 }));
    });
    fc.assert(
      fc.property(table, fc.integer({ min: 30, max: 120 }), ([head, body], width) => {
        const text = formatTable(head, body, { width });
        expect(longest(text)).toBeLessThanOrEqual(width);
        const words = text.split(/\s+/);
        for (const line of body) for (const each of line.join(' ').split(' ')) expect(words).toContain(each);
      }),
    );
  });
});

describe('wrapLine', () => {
  it('breaks at blanks, indents what goes on, and leaves a word that is too long', () => {
    expect(wrapLine('one two three four', 10)).toBe('one two\n  three\n  four');
    expect(wrapLine('  a bb cc dd', 8)).toBe('  a bb\n    cc\n    dd');
    expect(wrapLine('https://example.org/a/b/c yes', 10)).toBe('https://example.org/a/b/c\n  yes');
    expect(wrapLine('short', 10)).toBe('short');
  });
});

describe('formatFields', () => {
  it('aligns values behind their names, and breaks them', () => {
    const fields = [
      ['model', 'nano'],
      ['memory', '300 MB: 100 MB for the weights, 200 MB to work in'],
    ] as const;
    expect(formatFields(fields)).toBe('model   nano\nmemory  300 MB: 100 MB for the weights, 200 MB to work in');
    const narrow = formatFields(fields, 38);
    expect(longest(narrow)).toBeLessThanOrEqual(38);
    expect(formatFields(fields, 30).split('\n').slice(0, 3)).toEqual(['model', '  nano', 'memory']);
    expect(narrow.split('\n')[1]).toBe('memory  300 MB: 100 MB for the');
  });
});
