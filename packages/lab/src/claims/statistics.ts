/** Figures with their uncertainty, and what may be concluded from them. */
import { type Estimate, estimateMean, fitLine } from '../numerics/statistics.ts';
import type { Measurement } from './row.ts';
import type { Source } from './source.ts';

/** Standard errors that a figure must be away from a bound to be on one side of it. */
export const MIN_STANDARD_ERRORS = 3;

export type Trend = 'falls' | 'rises' | 'unclear';

/** Whether a slope is below or above 0 by ERRORS standard errors. */
export function trendOf({ value, error }: Estimate): Trend {
  if (value + MIN_STANDARD_ERRORS * error < 0) return 'falls';
  return value - MIN_STANDARD_ERRORS * error > 0 ? 'rises' : 'unclear';
}

/** Slope of a number over ln n, by least squares in each repetition. */
export const slopeOf = ({ repetitions }: Source, pick: (measurement: Measurement) => number): Estimate =>
  estimateMean(
    repetitions.map(
      (repetition) =>
        fitLine(
          repetition.map(({ n }) => Math.log(n)),
          repetition.map(pick),
        ).slope,
    ),
  );

/** Exponent of a number's growth with n: the slope of its logarithm. */
export const exponentOf = (source: Source, pick: (measurement: Measurement) => number): Estimate =>
  slopeOf(source, (measurement) => Math.log(Math.max(pick(measurement), Number.MIN_VALUE)));

/** −0.25 ± 0.01 */
export function formatEstimate({ value, error }: Estimate): string {
  const digits = error > 0 ? Math.min(3, Math.max(2, 1 - Math.floor(Math.log10(error)))) : 2;
  return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`.replaceAll('-', '−');
}
