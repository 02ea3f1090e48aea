/** Log-probabilities of tokens, as the model gives them: before temperature, penalties and constraints. */
import { topTokens } from './top-tokens.ts';
import { sumExp } from './truncation.ts';

/** A token and the natural logarithm of its probability. */
export interface TokenProbability {
  token: number;
  logProbability: number;
}

/** A chosen token's probability, and those of the likeliest tokens. */
export interface TokenProbabilities extends TokenProbability {
  /** The likeliest tokens, in falling order. */
  top: TokenProbability[];
}

/** Log-softmax of `logits` (vocabulary) at `token` and at the `topCount` largest, summed in double precision. */
export function logProbabilities(logits: Float32Array, token: number, topCount: number): TokenProbabilities {
  const best = topTokens(logits, Math.min(Math.max(1, topCount), logits.length));
  const max = logits[best[0] as number] as number;
  const logSumExp = max + Math.log(sumExp(logits, max));
  const probabilityOf = (id: number): TokenProbability => ({
    token: id,
    logProbability: (logits[id] as number) - logSumExp,
  });
  return { ...probabilityOf(token), top: Array.from(best.subarray(0, topCount), probabilityOf) };
}
