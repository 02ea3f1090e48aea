/**
 * Decoding before the first token is wanted. Code that a process has not run yet is slow: JavaScript and kernels are
 * compiled again once they are seen to matter, and weights are read for the first time. So a model decodes some tokens
 * shortly before the end of its first long prompt, and keeps nothing of them.
 */
import type { TransformerSegments } from '../model/index.ts';

/** Tokens that are decoded. `npm run bench:first-tokens` prints how much slower the first tokens are after that. */
const REHEARSED_TOKENS = 16;
/** Shortest prompt, in tokens of it that are in the cache: a short one is read sooner than a rehearsal ends. */
const MIN_CACHED_TOKENS = 1024;

const rehearsed = new WeakSet<TransformerSegments>();

/** How many tokens to decode now, behind `cachedTokens` of a prompt: none but for the first time on a model. */
export function tokensToRehearse(segments: TransformerSegments, cachedTokens: number): number {
  if (cachedTokens < MIN_CACHED_TOKENS || rehearsed.has(segments)) return 0;
  rehearsed.add(segments);
  return REHEARSED_TOKENS;
}
