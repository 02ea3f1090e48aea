/**
 * Shrinkage of the slopes of many heads towards their common mean, the more the less certain they are: empirical Bayes,
 * with the variance between heads after DerSimonian and Laird (1986). A slope fitted to few queries and extrapolated as
 * it is would be worse than a common slope for all.
 */

import type { Estimate } from '../numerics/statistics.ts';

/** The smallest standard error that is believed: keys are whole numbers, whose residuals can vanish. */
const MIN_STANDARD_ERROR = 0.01;

/** The shrunk values, and the mean that they are shrunk towards. */
export function shrink(estimates: readonly Estimate[]): { pooled: number; values: number[] } {
  const variances = estimates.map(({ error }) => Math.max(MIN_STANDARD_ERROR, error) ** 2);
  const weighted = (weights: readonly number[], numbers: readonly number[]) =>
    weights.reduce((sum, w, i) => sum + w * (numbers[i] as number), 0) / weights.reduce((sum, w) => sum + w, 0);
  const values = estimates.map(({ value }) => value);
  const weights = variances.map((variance) => 1 / variance);
  const fixedEffect = weighted(weights, values);
  const total = weights.reduce((sum, w) => sum + w, 0);
  const heterogeneity = values.reduce((sum, value, i) => sum + (weights[i] as number) * (value - fixedEffect) ** 2, 0);
  const scale = total - weights.reduce((sum, w) => sum + w * w, 0) / total;
  const varianceBetween = scale > 0 ? Math.max(0, (heterogeneity - (values.length - 1)) / scale) : 0;
  const pooled = weighted(
    variances.map((variance) => 1 / (variance + varianceBetween)),
    values,
  );
  return {
    pooled,
    values: values.map(
      (value, i) => pooled + (varianceBetween / (varianceBetween + (variances[i] as number))) * (value - pooled),
    ),
  };
}
