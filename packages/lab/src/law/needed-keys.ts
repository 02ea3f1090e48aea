/** How many keys an error asks for, when it was measured at some numbers of keys only. */

/** Errors below this are rounding. */
const MIN_ERROR = 1e-9;

/**
 * Keys of n from which on the error is at most `allowed`, given the `errors` at the numbers of keys `ladder`, NaN where
 * there are none: behind the last of them that is too large, on a line through the logarithms of keys and errors. Behind
 * the whole ladder the error is taken to fall evenly to nothing at n, which asks for more keys than it really does where
 * errors fall ever more slowly. Never less than the first of the ladder.
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
