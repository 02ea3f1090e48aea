/** The normal distribution, and how many keys Gaussian scores would need. */

/**
 * Keys that leave at most `share` of the softmax unread if the n scores of a query were independent and Gaussian with
 * standard deviation `spread` (nats): k / n = upperTail(spread + normalQuantile(share)), from 1 to n, not rounded. Their
 * exponent d ln k / d ln n is 1: at a fixed spread, Gaussian scores are not n^C-sparse with C below 1.
 */
export const gaussianKeys = (n: number, spread: number, share: number): number =>
  Math.min(n, Math.max(1, n * upperTail(spread + normalQuantile(share))));

/** Below this x the series converges quickly, above it the continued fraction. */
const MAX_SERIES_X = 3;

/** P(Z > x) of a standard normal Z, to a relative 1e-12. */
export function upperTail(x: number): number {
  if (x < 0) return 1 - upperTail(-x);
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (x < MAX_SERIES_X) {
    // Phi(x) - 1/2 = density (x + x^3 / 3 + x^5 / 15 + ...)
    let [term, sum] = [x, x];
    for (let i = 3; Math.abs(term) > 1e-17 * Math.abs(sum) && i < 400; i += 2) {
      term *= (x * x) / i;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  // Laplace's continued fraction, evaluated from its end.
  let fraction = x;
  for (let i = 120; i > 0; i--) fraction = x + i / fraction;
  return density / fraction;
}

/** The x with P(Z < x) = `share` of a standard normal Z, by bisection. */
export function normalQuantile(share: number): number {
  if (share > 0.5) return -normalQuantile(1 - share);
  let [low, high] = [-40, 0];
  while (high - low > 1e-13) {
    const middle = (low + high) / 2;
    if (upperTail(-middle) < share) low = middle;
    else high = middle;
    if (middle === low && middle === high) break;
  }
  return (low + high) / 2;
}
