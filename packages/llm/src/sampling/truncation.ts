/**
 * Which tokens may be drawn: the best ones, as far as top-k, top-p and min-p all allow. Each of the three keeps the
 * tokens in front of some place in falling order, so together they keep those in front of the first such place.
 */
import { bestTokens } from './best-tokens.ts';
import type { SamplingSettings } from './options.ts';

/** Tokens to look at first where only probabilities limit them: nearly always enough. */
const firstLook = 256;

/**
 * Ids of the tokens that may be drawn, in falling order of their logits, at least one; undefined where all may be.
 * `best` is the largest logit. top-p counts probabilities at temperature 1 among the tokens that top-k keeps; min-p
 * compares them with the best one's (the order of llama.cpp's default chain: top-k, top-p, min-p, temperature).
 */
export function allowedTokens(
  logits: Float32Array,
  best: number,
  { topK, topP, minP }: Pick<SamplingSettings, 'topK' | 'topP' | 'minP'>,
): Int32Array | undefined {
  const n = logits.length;
  const limit = topK === 0 ? n : Math.min(topK, n);
  if (limit === n && topP === 1 && minP === 0) return undefined;
  const least = best + Math.log(minP); // -Infinity where min-p is off
  const all = topP === 1 ? undefined : limit < n ? 'best' : weightOf(logits, best);
  for (let looked = limit < n ? limit : Math.min(firstLook, n); ; looked = Math.min(looked * 8, n)) {
    const ids = bestTokens(logits, looked);
    const total = all === 'best' ? weightOf(pick(logits, ids), best) : all;
    const kept = countAllowed(logits, ids, best, least, total === undefined ? Number.POSITIVE_INFINITY : topP * total);
    if (kept < looked || looked === limit) return ids.subarray(0, kept);
  }
}

/** How many of `ids` stand in front of the first that is below `least`, or that `mass` is reached before. */
function countAllowed(logits: Float32Array, ids: Int32Array, best: number, least: number, mass: number): number {
  let weight = 0;
  for (let i = 0; i < ids.length; i++) {
    const logit = logits[ids[i] as number] as number;
    if (i > 0 && (weight >= mass || logit < least)) return i;
    weight += Math.exp(logit - best);
  }
  return ids.length;
}

function pick(logits: Float32Array, ids: Int32Array): Float32Array {
  return Float32Array.from(ids, (id) => logits[id] as number);
}

/** Sum of exp(logit - best) in double precision. */
export function weightOf(logits: Float32Array, best: number): number {
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - best);
  return sum;
}
