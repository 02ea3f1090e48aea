/** The keys that an error needs, interpolated between the numbers of keys at which it was measured. */

/** Errors below this are rounding. */
const MIN_ERROR = 1e-9;

/**
 * The keys, of n, from which on the error is at most `tolerance`, given the `errors` at the numbers of keys `ladder` (NaN
 * where not measured): after the last rung whose error is too large, on a line through the logarithms of keys and errors.
 * Beyond the ladder the error is taken to fall linearly to 0 at n, which overestimates the keys. At least the first rung.
 */
export function keysForError(
  errors: ArrayLike<number>,
  ladder: readonly number[],
  n: number,
  tolerance: number,
): number {
  let lastExceeding = ladder.length - 1;
  while (lastExceeding >= 0 && !((errors[lastExceeding] as number) > tolerance)) lastExceeding--;
  if (lastExceeding < 0) return Math.min(n, ladder[0] ?? 1);
  const [keys, error] = [ladder[lastExceeding] as number, errors[lastExceeding] as number];
  const [nextKeys, nextError] = [ladder[lastExceeding + 1], errors[lastExceeding + 1]];
  if (nextKeys === undefined || nextError === undefined || Number.isNaN(nextError)) {
    return keys + (n - keys) * (1 - tolerance / error);
  }
  const drop = Math.log(error / Math.max(MIN_ERROR, nextError));
  return keys * (nextKeys / keys) ** (Math.log(error / tolerance) / drop);
}
