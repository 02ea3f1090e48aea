/**
 * What the keys would be if the scores of a query were independent and Gaussian: with spread sigma (nats) the k largest
 * of n leave a share eps unread where k / n = PhiC(sigma + PhiInv(eps)), so the exponent drifts to 1 as n grows.
 */

/** Keys of n that leave a share `share` of the softmax unread, for Gaussian scores of standard deviation `spread`. */
export const gaussianKeys = (n: number, spread: number, share: number): number =>
  Math.min(n, Math.max(1, n * upperTail(spread + normalQuantile(share))));

/** The exponent 1 + ln(k / n) / ln n of the same. */
export const gaussianExponent = (n: number, spread: number, share: number): number =>
  1 + Math.log(upperTail(spread + normalQuantile(share))) / Math.log(n);

/** Probability that a standard normal number is above x, to a relative 1e-12 or so. */
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
  // Laplace's continued fraction, from the end.
  let fraction = x;
  for (let i = 120; i > 0; i--) fraction = x + i / fraction;
  return density / fraction;
}

const MAX_SERIES_X = 3;

/** The x below which a standard normal number is with probability `share`; by bisection. */
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
