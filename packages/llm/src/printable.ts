/**
 * Text that may be shown: on a terminal or a page, in an error or a table. Names in a model's file, names and messages of
 * a hub, what a template says and what a model answers may all hold escapes that clear a screen, set a title, turn text
 * around or make up lines.
 */

export interface PrintableOptions {
  /** Longer texts are cut. Default: 500 UTF-16 units. */
  maxLength?: number;
}

/** Controls (C0, DEL, C1), line separators, and characters that format others without being seen, bidirectional ones too. */
const UNSEEN = /[\p{Cc}\p{Cf}\u2028\u2029]/u;
const ALL_UNSEEN = new RegExp(UNSEEN, 'gu');
/** Two of them are part of words and emoji. */
const JOINERS: ReadonlySet<string> = new Set(['\u200c', '\u200d']);

/** One line of text, with what could not be seen written out (`\x1b`, `\u202e`) and an ellipsis where it was cut. */
export function printable(text: string, { maxLength = 500 }: PrintableOptions = {}): string {
  const cut = text.length > maxLength ? `${wellFormed(text.slice(0, maxLength))}...` : wellFormed(text);
  return cut.replace(ALL_UNSEEN, (character) => (JOINERS.has(character) ? character : escapeOf(character)));
}

/** Several lines: tabs and line ends stay. */
export const printableLines = (text: string): string => createAnswerPrinter().append(text);

/** The text of JSON in which every such character is escaped: it stays the same JSON. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(ALL_UNSEEN, (character) =>
    Array.from({ length: character.length }, (_, i) => `\\u${hex(character.charCodeAt(i), 4)}`).join(''),
  );
}

export interface AnswerPrinter {
  /** The next piece of an answer, as it may be shown: with its tabs, line ends and the marks of right-to-left scripts. */
  append(text: string): string;
}

/** Shows an answer piece by piece: a carriage return is part of a line end only where a line feed follows. */
export function createAnswerPrinter(): AnswerPrinter {
  let pending = '';
  return {
    append(text) {
      const all = pending + text;
      pending = all.endsWith('\r') ? '\r' : '';
      const ready = pending === '' ? all : all.slice(0, -1);
      return wellFormed(ready).replace(/\r\n|[\p{Cc}\p{Cf}\u2028\u2029]/gu, (found) =>
        KEPT.has(found) ? found : escapeOf(found),
      );
    },
  };
}

const KEPT: ReadonlySet<string> = new Set(['\r\n', '\n', '\t', '\u00ad', '\u200e', '\u200f', '\u061c', ...JOINERS]);

/** Lone surrogates are no characters. */
const wellFormed = (text: string) => text.replace(/\p{Cs}/gu, '\ufffd');

function escapeOf(character: string): string {
  const code = character.codePointAt(0) as number;
  if (code < 0x100) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\u{${code.toString(16)}}`;
}

const hex = (code: number, digits: number) => code.toString(16).padStart(digits, '0');
