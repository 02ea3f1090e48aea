/** Figures with their uncertainty, and what may be concluded from them. */
import { fitLine } from '../law/shapes.ts';
import type { Measurement } from './row.ts';
import type { Source } from './source.ts';

export interface Estimate {
  value: number;
  /** Standard error, from repetitions. */
  error: number;
}

/** Standard errors that a figure must be away from a bound to be on one side of it. */
export const MIN_STANDARD_ERRORS = 3;

export type Trend = 'falls' | 'rises' | 'unclear';

/** Mean of repetitions, and its standard error. */
export function estimate(repetitions: readonly number[]): Estimate {
  const count = repetitions.length;
  const value = repetitions.reduce((sum, x) => sum + x, 0) / count;
  const squares = repetitions.reduce((sum, x) => sum + (x - value) ** 2, 0);
  return { value, error: Math.sqrt(squares / (count - 1) / count) };
}

/** Whether a slope is below or above 0 by ERRORS standard errors. */
export function trendOf({ value, error }: Estimate): Trend {
  if (value + MIN_STANDARD_ERRORS * error < 0) return 'falls';
  return value - MIN_STANDARD_ERRORS * error > 0 ? 'rises' : 'unclear';
}

/** Slope of a number over ln n, by least squares in each repetition. */
export const slopeOf = ({ repetitions }: Source, pick: (measurement: Measurement) => number): Estimate =>
  estimate(
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

/** A figure of all parts, and its standard error by leaving out one part at a time (the jackknife). */
export function jackknife<Part>(parts: readonly Part[], figure: (parts: readonly Part[]) => number): Estimate {
  const value = figure(parts);
  const leaveOneOut = parts.map((_, omitted) => figure(parts.filter((_, i) => i !== omitted)));
  const centre = leaveOneOut.reduce((sum, x) => sum + x, 0) / leaveOneOut.length;
  const squares = leaveOneOut.reduce((sum, x) => sum + (x - centre) ** 2, 0);
  return { value, error: Math.sqrt(((parts.length - 1) / parts.length) * squares) };
}

export const medianOf = (numbers: readonly number[]): number => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
};

/** −0.25 ± 0.01 */
export function formatEstimate({ value, error }: Estimate): string {
  const digits = error > 0 ? Math.min(3, Math.max(2, 1 - Math.floor(Math.log10(error)))) : 2;
  return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`.replaceAll('-', '−');
}
