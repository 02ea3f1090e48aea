/** Distributions over a vocabulary, from logits, in float64. */

/** The logarithms of softmax(logits). */
export function logSoftmax(logits: ArrayLike<number>): Float64Array {
  const logProbabilities = Float64Array.from(logits);
  let max = Number.NEGATIVE_INFINITY;
  for (const logit of logProbabilities) max = Math.max(max, logit);
  let sum = 0;
  for (const logit of logProbabilities) sum += Math.exp(logit - max);
  const logSum = max + Math.log(sum);
  for (let i = 0; i < logProbabilities.length; i++) logProbabilities[i] = (logProbabilities[i] as number) - logSum;
  return logProbabilities;
}

/** KL(p || q) = sum p (ln p - ln q), in nats, of logarithms of probabilities. */
export function klDivergence(logP: Float64Array, logQ: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < logP.length; i++) {
    const p = logP[i] as number;
    sum += Math.exp(p) * (p - (logQ[i] as number));
  }
  // Rounding can leave slightly less than 0.
  return Math.max(0, sum);
}

/** The index of the largest number, of equal ones the first. */
export function argmax(numbers: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if ((numbers[i] as number) > (numbers[best] as number)) best = i;
  return best;
}
