/** One pass of decoding, with a draft of what comes next behind the token. */
import { PAGE_KEYS } from 'keysieve';
import type { SequenceRows, Step } from './forward-pass.ts';
import type { Decoded } from './generation.ts';
import type { PromptLookup } from './prompt-lookup.ts';

/** What a token is decoded with. */
export interface DecodeParts {
  /** The tokens in the cache. */
  tokens: readonly number[];
  contextLength: number;
  endOfGeneration: ReadonlySet<number>;
  /** Where drafts come from. Undefined: there are none. */
  lookup: PromptLookup | undefined;
  /** Draws the next token. */
  choose(logits: Float32Array): number;
  /** Runs tokens of which all have logits. */
  forward(tokens: Int32Array, goesOn: NonNullable<SequenceRows['goesOn']>): Promise<Step>;
}

/** Decodes a token and what of a draft behind it is right; draws at least one more, and at most `maxTokens`. */
export async function decodeToken(token: number, maxTokens: number, parts: DecodeParts): Promise<Decoded> {
  const { tokens, contextLength, endOfGeneration, lookup, choose, forward } = parts;
  const position = tokens.length;
  // Within the page of the token, so that every row sees the pages quantized that it would see so alone.
  const most = Math.min(maxTokens, contextLength - position, PAGE_KEYS - (position % PAGE_KEYS)) - 1;
  const draft = most < 1 ? [] : (lookup?.propose([...tokens, token], most) ?? []);
  const drawn: Decoded['drawn'] = [];
  const goesOn = (logits: Float32Array, row: number) => {
    const next = choose(logits);
    drawn.push({ token: next, logits });
    return next === draft[row] && !endOfGeneration.has(next);
  };
  const { report } = await forward(Int32Array.of(token, ...draft), goesOn);
  lookup?.learn({ proposed: draft.length, accepted: drawn.length - 1 });
  return { drawn, proposed: draft.length, report };
}
