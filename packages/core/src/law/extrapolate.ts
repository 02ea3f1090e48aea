/** The uncertainty of a law beyond the lengths that it was measured at. */
import type { LawFile } from './law-file.ts';

/**
 * Standard deviation of the error in ln keys of a law extrapolated to n, estimated from the errors of laws fitted to
 * shorter contexts. It grows with ln(n / longest measured length), at the worst rate of those laws. 0 within the
 * measured lengths; infinite beyond them where no extrapolation was measured.
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
 * Shrinks ln keys towards their mean in place, by the factor variance / (variance + error^2) of the best linear
 * predictor, where `error` is the standard deviation in nats; then rescales so that the mean number of keys is kept.
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
