/** How far predictions are from those of dense attention, in float64. */

/** Logarithms of the probabilities that logits stand for. */
export function logSoftmax(logits: Float32Array): Float64Array {
  let max = Number.NEGATIVE_INFINITY;
  for (const logit of logits) max = Math.max(max, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - max);
  const logSum = max + Math.log(sum);
  return Float64Array.from(logits, (logit) => logit - logSum);
}

/** KL divergence of `other` from `reference`, in nats: sum p (ln p - ln q). */
export function klDivergence(reference: Float64Array, other: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < reference.length; i++) {
    const p = reference[i] as number;
    sum += Math.exp(p) * (p - (other[i] as number));
  }
  // Rounding can leave a little less than nothing.
  return Math.max(0, sum);
}

export function argmax(numbers: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if ((numbers[i] as number) > (numbers[best] as number)) best = i;
  return best;
}

export const mean = (numbers: readonly number[]): number =>
  numbers.reduce((sum, x) => sum + x, 0) / Math.max(1, numbers.length);

/** The number that a share of the numbers does not exceed. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
