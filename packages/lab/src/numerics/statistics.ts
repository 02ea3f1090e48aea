/** Means, quantiles and lines of numbers. */

/** The arithmetic mean; 0 of no numbers. */
export function mean(numbers: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i] as number;
  return sum / Math.max(1, numbers.length);
}

/** The square root of the mean square; 0 of no numbers. */
export function rootMeanSquare(numbers: ArrayLike<number>): number {
  let squares = 0;
  for (let i = 0; i < numbers.length; i++) squares += (numbers[i] as number) ** 2;
  return Math.sqrt(squares / Math.max(1, numbers.length));
}

/** The standard deviation of the numbers themselves (divided by their count); 0 of no numbers. */
export function standardDeviation(numbers: ArrayLike<number>): number {
  const center = mean(numbers);
  let squares = 0;
  for (let i = 0; i < numbers.length; i++) squares += ((numbers[i] as number) - center) ** 2;
  return Math.sqrt(squares / Math.max(1, numbers.length));
}

/**
 * The quantile at `share`, from 0 (the minimum) to 1 (the maximum), interpolated between the two nearest order
 * statistics (definition 7 of Hyndman and Fan 1996). NaN of no numbers.
 */
export function quantile(numbers: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(numbers).sort();
  const at = share * (sorted.length - 1);
  const [below, above] = [Math.floor(at), Math.ceil(at)];
  const low = sorted[below] ?? Number.NaN;
  return below === above ? low : low + (at - below) * ((sorted[above] as number) - low);
}

/** The number in the middle, or the mean of the two in the middle. NaN of no numbers. */
export const median = (numbers: ArrayLike<number>): number => quantile(numbers, 0.5);

/** A straight line: y = intercept + slope x. */
export interface Line {
  intercept: number;
  slope: number;
}

/** The least-squares line of y on x; its slope is 0 where all x are equal. */
export function fitLine(x: ArrayLike<number>, y: ArrayLike<number>): Line {
  const [meanX, meanY] = [mean(x), mean(y)];
  let [xx, xy] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    const dx = (x[i] as number) - meanX;
    xx += dx * dx;
    xy += dx * ((y[i] as number) - meanY);
  }
  const slope = xx > 0 ? xy / xx : 0;
  return { intercept: meanY - slope * meanX, slope };
}

/** A figure and its standard error. */
export interface Estimate {
  value: number;
  /** Standard error, in the unit of the value. */
  error: number;
}

/** The mean of independent repetitions, and its standard error. One repetition has an error of NaN. */
export function estimateMean(repetitions: readonly number[]): Estimate {
  const count = repetitions.length;
  const value = mean(repetitions);
  const squares = repetitions.reduce((sum, x) => sum + (x - value) ** 2, 0);
  return { value, error: Math.sqrt(squares / (count - 1) / count) };
}

/** A figure of all parts, and its standard error by leaving out one part at a time (the jackknife; Efron 1982). */
export function jackknife<Part>(parts: readonly Part[], figure: (parts: readonly Part[]) => number): Estimate {
  const leaveOneOut = parts.map((_, omitted) => figure(parts.filter((_, i) => i !== omitted)));
  const center = mean(leaveOneOut);
  const squares = leaveOneOut.reduce((sum, x) => sum + (x - center) ** 2, 0);
  return { value: figure(parts), error: Math.sqrt(((parts.length - 1) / parts.length) * squares) };
}
