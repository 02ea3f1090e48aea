/** Running text around facts: repeated as often as need be, with facts at places that are counted in tokens. */

export interface HiddenFact {
  text: string;
  /** Share of the text's tokens before it: 0 at the beginning, 1 at the end. */
  place: number;
}

export interface Filler {
  /** UTF-16 units of the text before it is repeated. */
  readonly length: number;
  /** The text from `offset` on, of `characters` UTF-16 units or one less where that would cut a character in two, with facts in it. */
  hide(offset: number, characters: number, facts: readonly HiddenFact[]): string;
}

/**
 * UTF-16 units whose tokens are counted together. Inside of them places are interpolated: a script takes much the same
 * number of tokens for each of its characters.
 */
const BLOCK_CHARACTERS = 128;
/** A blank or a punctuation mark is waited for this long; scripts that have none get the fact before any character. */
const MAX_WORD_CHARACTERS = 32;

/** A text to hide facts in, given the tokens that the model makes of a piece of text. */
export function createFiller(text: string, countTokens: (text: string) => number): Filler {
  const unit = `${text}\n`;
  let tokensBefore: Float64Array | undefined;

  /** Tokens before the beginning of every block, and of the whole at last. */
  const countBlocks = (): Float64Array => {
    const counts = new Float64Array(Math.ceil(unit.length / BLOCK_CHARACTERS) + 1);
    for (let block = 0; block + 1 < counts.length; block++) {
      const content = unit.slice(block * BLOCK_CHARACTERS, (block + 1) * BLOCK_CHARACTERS);
      counts[block + 1] = (counts[block] as number) + countTokens(content);
    }
    return counts;
  };

  /** Tokens before a place in the repeated text. */
  const tokensAt = (place: number): number => {
    tokensBefore ??= countBlocks();
    const within = place % unit.length;
    const block = Math.floor(within / BLOCK_CHARACTERS);
    const [from, to] = [tokensBefore[block] as number, tokensBefore[block + 1] as number];
    const size = Math.min(BLOCK_CHARACTERS, unit.length - block * BLOCK_CHARACTERS);
    const share = (within - block * BLOCK_CHARACTERS) / size;
    return Math.floor(place / unit.length) * (tokensBefore.at(-1) as number) + from + share * (to - from);
  };

  /** The first place from `from` on, up to `to`, with that number of tokens before it. */
  const placeOf = (tokens: number, from: number, to: number): number => {
    let [low, high] = [from, to];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (tokensAt(middle) < tokens) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  return {
    length: text.length,
    hide(offset, characters, facts) {
      const repeated = unit.repeat(Math.ceil((offset + characters) / unit.length));
      const from = nextCharacter(repeated, offset);
      const to = Math.max(from, previousCharacter(repeated, offset + characters));
      const [first, last] = [tokensAt(from), tokensAt(to)];
      const inserted = facts
        .map(({ text: fact, place }) => {
          const at = placeOf(first + place * (last - first), from, to);
          return { at: boundaryAt(repeated, at, from, to), fact };
        })
        .sort((a, b) => a.at - b.at);
      let result = '';
      let done = from;
      for (const { at, fact } of inserted) {
        result += repeated.slice(done, at);
        // What stands before the fact is no part of its first word.
        if (/\S$/.test(result)) result += ' ';
        result += fact;
        done = at;
      }
      return result + repeated.slice(done, to);
    },
  };
}

/** The next place where a word begins; without blanks, where a sentence or any character does. */
function boundaryAt(text: string, at: number, from: number, to: number): number {
  if (at <= from || at >= to) return Math.min(Math.max(at, from), to);
  const near = text.slice(at - 1, Math.min(to, at - 1 + MAX_WORD_CHARACTERS));
  const found = /\s(?=\S)/u.exec(near) ?? /\p{P}(?!\p{P})/u.exec(near);
  return found === null ? nextCharacter(text, at) : at - 1 + found.index + found[0].length;
}

/** Whether a character as people count them goes on at a place: a surrogate pair, marks, joined emoji. */
const goesOn = (text: string, at: number): boolean =>
  at > 0 &&
  at < text.length &&
  (isLowSurrogate(text, at) || /^[\p{M}\u200c\u200d]/u.test(text.slice(at, at + 2)) || text[at - 1] === '\u200d');

const isLowSurrogate = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff;
};

function nextCharacter(text: string, at: number): number {
  let place = at;
  while (goesOn(text, place)) place++;
  return place;
}

function previousCharacter(text: string, at: number): number {
  let place = at;
  while (goesOn(text, place)) place--;
  return place;
}
