import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createAnswerPrinter, printable, printableJson, printableLines } from './printable.ts';

const hostile = fc.string({
  unit: fc.oneof(
    fc.integer({ min: 0, max: 0x10ffff }).map((c) => String.fromCodePoint(c)),
    fc.constantFrom('\x1b', '\x9b', '\u202e', '\r', '\n', '\t', '\ud800'),
  ),
});
const UNSAFE = /[\p{Cc}\u202a-\u202e\u2066-\u2069\u2028\u2029]/u;

describe('printable', () => {
  it.each([
    ['\x1b]0;PWNED\x07\x1b[2J', '\\x1b]0;PWNED\\x07\\x1b[2J'],
    ['a\nprecision  exact', 'a\\x0aprecision  exact'],
    ['\x9b2J', '\\x9b2J'],
    ['\u202egnp.exe', '\\u202egnp.exe'],
    ['\u2066a\u2069', '\\u2066a\\u2069'],
    ['zero\u200bwidth', 'zero\\u200bwidth'],
    ['Größe 模型 👩‍💻', 'Größe 模型 👩‍💻'],
  ])('writes out what could not be seen: %j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it('cuts long texts', () => {
    expect(printable('a'.repeat(1e6), { maxLength: 3 })).toBe('aaa...');
    expect(printable('\u{1f600}', { maxLength: 1 })).toBe('\ufffd...');
  });

  it('leaves one line without a control', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(printable(text)).not.toMatch(UNSAFE);
      }),
    );
  });
});

describe('an answer', () => {
  it('keeps tabs, line ends and the marks of its script', () => {
    const text = 'a\tb\r\nc\nשלום\u200f 1\u061c می\u200cخواهم';
    expect(printableLines(text)).toBe(text);
  });

  it('cannot go back in its line, in however many pieces it comes', () => {
    const printer = createAnswerPrinter();
    expect(['a\r', '\nb\r', 'c\x1b', '[2J'].map((piece) => printer.append(piece)).join('')).toBe(
      'a\r\nb\\x0dc\\x1b[2J',
    );
    fc.assert(
      fc.property(fc.array(hostile), (pieces) => {
        const each = createAnswerPrinter();
        const shown = pieces.map((piece) => each.append(piece)).join('');
        expect(shown.replaceAll('\r\n', '').replace(/[\n\t]/g, '')).not.toMatch(UNSAFE);
      }),
    );
  });
});

describe('JSON', () => {
  it('is the same JSON, without a control', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const json = printableJson({ text });
        expect(json).not.toMatch(UNSAFE);
        expect(JSON.parse(json)).toEqual({ text });
      }),
    );
  });
});
