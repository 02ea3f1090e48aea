/** How far a law may be trusted past the lengths that it was measured at. */
import type { LawFile } from './law-file.ts';

/**
 * Standard deviation of ln keys that a law may be off by at n, from how far laws of shorter contexts were off when they
 * were tried: it grows with the logarithm of how much further than measured the law is carried, at the worst rate that was
 * found. Nothing within the lengths that were measured; infinite past them where nothing was tried.
 */
export function extrapolationError(
  { lengths, extrapolation }: Pick<LawFile, 'lengths' | 'extrapolation'>,
  n: number,
): number {
  const logBeyondMeasured = Math.log(n / (lengths.at(-1) as number));
  if (logBeyondMeasured <= 0) return 0;
  const rates = extrapolation.map(({ fittedTo, predicted, kinds }) => {
    const heads = kinds.reduce((sum, { heads }) => sum + heads, 0);
    const squares = kinds.reduce((sum, { heads, error }) => sum + heads * error ** 2, 0);
    return Math.sqrt(squares / Math.max(1, heads)) / Math.log(predicted / fittedTo);
  });
  return rates.length === 0 ? Number.POSITIVE_INFINITY : logBeyondMeasured * Math.max(...rates);
}

/**
 * Draws keys towards their mean, which stays: as far as an error of so many nats leaves of what distinguishes them. That
 * is the best linear guess of ln keys of which the spread is known, and the error.
 */
export function shrinkToMean(keys: Float64Array, error: number): Float64Array {
  if (error === 0) return keys;
  let [sum, logs, squares] = [0, 0, 0];
  for (const k of keys) {
    sum += k;
    logs += Math.log(k);
    squares += Math.log(k) ** 2;
  }
  const mean = logs / keys.length;
  const variance = Math.max(0, squares / keys.length - mean ** 2);
  const shrinkage = variance > 0 ? variance / (variance + error ** 2) : 0;
  let shrunkSum = 0;
  for (let i = 0; i < keys.length; i++) {
    keys[i] = (keys[i] as number) ** shrinkage;
    shrunkSum += keys[i] as number;
  }
  for (let i = 0; i < keys.length; i++) keys[i] = ((keys[i] as number) * sum) / shrunkSum;
  return keys;
}
