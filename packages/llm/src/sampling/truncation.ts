/**
 * Which tokens may be drawn: the best ones, as far as top-k, top-p and min-p all allow. Each of the three keeps the
 * tokens in front of some place in falling order, so together they keep those in front of the first such place.
 */

import type { SamplingSettings } from './options.ts';
import { topTokens } from './top-tokens.ts';

/** Tokens to look at first where only probabilities limit them: nearly always enough. */
const INITIAL_CANDIDATES = 256;

/**
 * Ids of the tokens that may be drawn, in falling order of their logits, at least one; undefined where all may be.
 * `best` is the largest logit. top-p counts probabilities at temperature 1 among the tokens that top-k keeps; min-p
 * compares them with the best one's (the order of llama.cpp's default chain: top-k, top-p, min-p, temperature).
 */
export function allowedTokens(
  logits: Float32Array,
  maxLogit: number,
  { topK, topP, minP }: Pick<SamplingSettings, 'topK' | 'topP' | 'minP'>,
): Int32Array | undefined {
  const n = logits.length;
  const limit = topK === 0 ? n : Math.min(topK, n);
  if (limit === n && topP === 1 && minP === 0) return undefined;
  const minLogit = maxLogit + Math.log(minP); // -Infinity where min-p is off
  const totalWeight = topP === 1 ? undefined : limit < n ? 'best' : sumExp(logits, maxLogit);
  for (
    let candidateCount = limit < n ? limit : Math.min(INITIAL_CANDIDATES, n);
    ;
    candidateCount = Math.min(candidateCount * 8, n)
  ) {
    const ids = topTokens(logits, candidateCount);
    const total = totalWeight === 'best' ? sumExp(pick(logits, ids), maxLogit) : totalWeight;
    const allowedCount = countAllowed(
      logits,
      ids,
      maxLogit,
      minLogit,
      total === undefined ? Number.POSITIVE_INFINITY : topP * total,
    );
    if (allowedCount < candidateCount || candidateCount === limit) return ids.subarray(0, allowedCount);
  }
}

/** How many of `ids` stand in front of the first that is below `least`, or that `mass` is reached before. */
function countAllowed(logits: Float32Array, ids: Int32Array, maxLogit: number, minLogit: number, mass: number): number {
  let weight = 0;
  for (let i = 0; i < ids.length; i++) {
    const logit = logits[ids[i] as number] as number;
    if (i > 0 && (weight >= mass || logit < minLogit)) return i;
    weight += Math.exp(logit - maxLogit);
  }
  return ids.length;
}

function pick(logits: Float32Array, ids: Int32Array): Float32Array {
  return Float32Array.from(ids, (id) => logits[id] as number);
}

/** Sum of exp(logit - best) in double precision. */
export function sumExp(logits: Float32Array, maxLogit: number): number {
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - maxLogit);
  return sum;
}
