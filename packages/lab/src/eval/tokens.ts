/** Tokens of a text, and which of them are used. */
import { labError } from '../errors.ts';

/** A text with a name, which results and errors say. */
export interface NamedText {
  name: string;
  content: string;
}

/** Which tokens of a text are taken. */
export interface TokenRange {
  /** Name of the text, for the error. */
  name: string;
  /** Tokens to leave out at the beginning. */
  offset: number;
  count: number;
}

/** `count` tokens from `offset` on. Throws `invalid-argument` where the text has fewer. */
export function takeTokens(allTokens: ArrayLike<number>, { name, offset, count }: TokenRange): Int32Array {
  if (offset + count <= allTokens.length) return Int32Array.from(allTokens).subarray(offset, offset + count);
  throw labError({
    code: 'invalid-argument',
    problem: `${name} is too short.`,
    found: `${allTokens.length} tokens, of which ${offset + count} are needed`,
    remedy: 'Take fewer tokens, a smaller offset, or a longer text.',
  });
}
