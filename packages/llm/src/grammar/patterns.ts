/**
 * Regular expressions as XGrammar (0.1.27) follows them. In a class it takes characters beyond ASCII for bytes, and inside
 * of JSON strings it lets classes give quotation marks, backslashes and line ends as they are. Here classes are written
 * out as what they mean there: characters beyond ASCII as alternatives, and what JSON escapes by its escapes.
 */
import { llmError } from '../errors.ts';

/** Code points from `from` to `to`. */
type Range = readonly [from: number, to: number];

/** Most characters beyond ASCII that a class is written out for. */
const MAX_ALTERNATIVES = 1024;
const MAX_CODE_POINT = 0x10ffff;
const MAX_ASCII = 0x7f;

/** Characters that JSON strings have by their escapes alone. */
const ESCAPED_IN_JSON: readonly Range[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const DIGITS: readonly Range[] = [[0x30, 0x39]];
const WORD: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const SPACE: readonly Range[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
/** Line ends in ASCII: if the others were left out as well, a dot would give ASCII alone. */
const LINE_ENDS: readonly Range[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
];
const CLASS_ESCAPES: Readonly<Record<string, readonly Range[]>> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROL_ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, v: 11, f: 12, 0: 0 };

/**
 * The expression for XGrammar; `inJson` where its text stands inside of a JSON string. It never matches what the given one
 * does not, but for U+2028 and U+2029 in place of a dot. A class that leaves characters out gives less: none that JSON
 * escapes, and where it leaves some beyond ASCII out, ASCII alone. Throws `grammar-invalid` for a class of very many characters
 * beyond ASCII, and for one that has none left.
 */
export function toXGrammarPattern(pattern: string, inJson: boolean): string {
  let result = '';
  for (let at = 0; at < pattern.length; ) {
    const character = String.fromCodePoint(pattern.codePointAt(at) as number);
    const isQuantified = (end: number) => /[*+?{]/.test(pattern[end] ?? '');
    if (character === '[') {
      const { ranges, end } = readClass(pattern, at);
      result += writeClass(ranges, inJson, pattern);
      at = end;
    } else if (character === '.') {
      result += writeClass(complement(LINE_ENDS), inJson, pattern);
      at++;
    } else if (character === '\\') {
      const read = readEscape(pattern, at);
      if (read.ranges !== undefined) result += writeClass(read.ranges, inJson, pattern);
      else if (read.codePoint === undefined) result += pattern.slice(at, read.end);
      else result += writeLiteral(read.codePoint, inJson, isQuantified(read.end));
      at = read.end;
    } else {
      // Groups that capture nothing, or by name, are groups: nothing is captured here.
      const group = /^\(\?(?::|<\w+>)/.exec(pattern.slice(at))?.[0] ?? '';
      const count = /^\{\d*,?\d*\}/.exec(pattern.slice(at))?.[0] ?? '';
      const end = at + Math.max(character.length, group.length, count.length);
      if (group !== '') result += '(';
      else if (count !== '') result += count;
      else if ('()|*+?^$'.includes(character)) result += character;
      else result += writeLiteral(pattern.codePointAt(at) as number, inJson, isQuantified(end));
      at = end;
    }
  }
  return result;
}

interface Escape {
  end: number;
  /** Of an escape that stands for a class. */
  ranges?: readonly Range[];
  /** Of one that stands for a character; undefined for others, such as references. */
  codePoint?: number;
}

function readEscape(pattern: string, at: number): Escape {
  const name = pattern[at + 1] ?? '';
  const ranges = CLASS_ESCAPES[name];
  if (ranges !== undefined) return { end: at + 2, ranges };
  const control = CONTROL_ESCAPES[name];
  if (control !== undefined) return { end: at + 2, codePoint: control };
  const hex = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]+)\})/.exec(pattern.slice(at + 1));
  if (hex !== null) {
    return { end: at + 1 + hex[0].length, codePoint: Number.parseInt(hex[1] ?? hex[2] ?? (hex[3] as string), 16) };
  }
  // References, boundaries and properties, which XGrammar takes or refuses.
  if (name === '' || /[A-Za-z1-9]/.test(name)) return { end: Math.min(pattern.length, at + 2) };
  const codePoint = pattern.codePointAt(at + 1) as number;
  return { end: at + 1 + String.fromCodePoint(codePoint).length, codePoint };
}

/** The class that begins with the bracket at `start`, and what comes behind it. */
function readClass(pattern: string, start: number): { ranges: readonly Range[]; end: number } {
  const isNegated = pattern[start + 1] === '^';
  const ranges: Range[] = [];
  let at = start + (isNegated ? 2 : 1);
  /** The character before, which may open a range. */
  let previous: number | undefined;
  while (at < pattern.length && pattern[at] !== ']') {
    const opensRange = pattern[at] === '-' && previous !== undefined && pattern[at + 1] !== ']';
    if (opensRange) at++;
    const { end, ranges: members, codePoint } = readMember(pattern, at);
    if (members !== undefined) ranges.push(...members);
    else if (codePoint !== undefined) ranges.push([opensRange ? (previous as number) : codePoint, codePoint]);
    previous = opensRange || members !== undefined ? undefined : codePoint;
    at = end;
  }
  return { ranges: isNegated ? complement(ranges) : ranges, end: Math.min(pattern.length, at + 1) };
}

function readMember(pattern: string, at: number): Escape {
  if (pattern[at] !== '\\') {
    const codePoint = pattern.codePointAt(at) as number;
    return { end: at + String.fromCodePoint(codePoint).length, codePoint };
  }
  return pattern[at + 1] === 'b' ? { end: at + 2, codePoint: 8 } : readEscape(pattern, at);
}

function writeClass(all: readonly Range[], inJson: boolean, pattern: string): string {
  const escaped = inJson ? intersect(all, ESCAPED_IN_JSON) : [];
  const plain = inJson ? intersect(all, complement(ESCAPED_IN_JSON)) : intersect(all, [[0, MAX_CODE_POINT]]);
  const ascii = intersect(plain, [[0, MAX_ASCII]]);
  const beyond = intersect(plain, [[MAX_ASCII + 1, MAX_CODE_POINT]]);
  const count = countOf(beyond);
  // A class that leaves characters out of all there are.
  const isOpen = beyond.at(-1)?.[1] === MAX_CODE_POINT;
  if (isOpen && count === MAX_CODE_POINT - MAX_ASCII) {
    const excluded = complement(plain);
    return excluded.length === 0 ? '[^\\u0000]' : `[^${excluded.map(writeRange).join('')}]`;
  }
  if (count > MAX_ALTERNATIVES && !isOpen) throw tooManyCharacters(pattern, count);
  const characters = [
    ...(isOpen ? [] : codePoints(beyond).map((each) => String.fromCodePoint(each))),
    ...(isOpen ? [] : codePoints(escaped).map((each) => writeEscaped(each))),
  ];
  if (ascii.length === 0 && characters.length === 0) throw noCharacters(pattern);
  const parts = [...(ascii.length > 0 ? [`[${ascii.map(writeRange).join('')}]`] : []), ...characters];
  return parts.length === 1 && ascii.length > 0 ? (parts[0] as string) : `(${parts.join('|')})`;
}

function writeLiteral(codePoint: number, inJson: boolean, isQuantified: boolean): string {
  if (inJson && intersect([[codePoint, codePoint]], ESCAPED_IN_JSON).length > 0) return `(${writeEscaped(codePoint)})`;
  const text = String.fromCodePoint(codePoint);
  if (codePoint > MAX_ASCII) return isQuantified ? `(${text})` : text;
  return /[A-Za-z0-9]/.test(text) ? text : `[${writeRange([codePoint, codePoint])}]`;
}

/** A character by its escape in JSON, as an expression. */
const writeEscaped = (codePoint: number): string =>
  JSON.stringify(String.fromCodePoint(codePoint)).slice(1, -1).replaceAll('\\', '\\\\');

const writeRange = ([from, to]: Range): string =>
  from === to ? writeMember(from) : `${writeMember(from)}-${writeMember(to)}`;

/** A member of a class, ASCII; XGrammar reads hexadecimal digits behind `\\x` as far as there are any. */
function writeMember(codePoint: number): string {
  const character = String.fromCodePoint(codePoint);
  return /[A-Za-z0-9 ]/.test(character) ? character : `\\u${codePoint.toString(16).padStart(4, '0')}`;
}

function complement(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  let next = 0;
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (from > next) result.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= MAX_CODE_POINT) result.push([next, MAX_CODE_POINT]);
  return result;
}

const intersect = (a: readonly Range[], b: readonly Range[]): Range[] =>
  complement([...complement(a), ...complement(b)]);

const countOf = (ranges: readonly Range[]): number => ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);

const codePoints = (ranges: readonly Range[]): number[] =>
  ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));

const noCharacters = (pattern: string) =>
  llmError({
    code: 'grammar-invalid',
    problem: 'A class of an expression has no character that can be written out.',
    found: pattern,
    remedy: 'Name characters, or leave none beyond ASCII out.',
  });

const tooManyCharacters = (pattern: string, count: number) =>
  llmError({
    code: 'grammar-invalid',
    problem: `A class of an expression has more than ${MAX_ALTERNATIVES} characters beyond ASCII.`,
    found: `${count} of them in ${pattern}`,
    remedy: 'Name those that are needed, or leave characters out by [^...].',
  });
