/** The standard normal distribution. */

/** Nodes and weights of the Gauss-Hermite rule of 7 for the normal distribution. */
export const NORMAL_NODES: readonly (readonly [node: number, weight: number])[] = [
  [0, 0.457142857142857],
  [1.154405394739968, 0.2401231786050127],
  [-1.154405394739968, 0.2401231786050127],
  [2.366759410734541, 0.0307571239675865],
  [-2.366759410734541, 0.0307571239675865],
  [3.750439717725742, 0.000548268855972218],
  [-3.750439717725742, 0.000548268855972218],
];

/** x with P(z > x) = p of a standard normal z, for p up to 1/2: to .003 (Abramowitz and Stegun 26.2.22). */
export function normalQuantile(p: number): number {
  const t = Math.sqrt(-2 * Math.log(p));
  return t - (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t);
}
