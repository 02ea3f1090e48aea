/**
 * Water-filling: keys go to the head whose error falls most by one more key, until the marginal gain is equal for all.
 * The squared error of a head is a power of its keys, e^level k^slope, so the keys at a given price have a closed form,
 * and only the price is searched for, by bisection.
 */

/** ln of a mean squared error as a line over ln keys. */
export interface ErrorLine {
  /** At one key. */
  level: number;
  /** Below 0. */
  slope: number;
}

/** The fewest and the most keys that a head gets. */
export interface KeyRange {
  min: number;
  max: number;
}

const BISECTION_STEPS = 50;
/** Prices from e^-80 to e^80, in squared error a key, are searched. */
const MAX_LOG_PRICE = 80;

/** ln of the squared error with `keys` keys. */
export const logSquaredError = ({ level, slope }: ErrorLine, keys: number): number => level + slope * Math.log(keys);

/** Writes into `keys`, and returns, the keys of every head at which one more key would save e^logPrice of squared error. */
export function keysAtPrice(
  lines: readonly ErrorLine[],
  logPrice: number,
  { min, max }: KeyRange,
  keys: Float64Array,
): Float64Array {
  for (let i = 0; i < lines.length; i++) {
    const { level, slope } = lines[i] as ErrorLine;
    // -d/dk e^level k^slope = e^price
    const logKeys = (level + Math.log(-slope) - logPrice) / (1 - slope);
    keys[i] = Math.min(max, Math.max(min, Math.exp(logKeys)));
  }
  return keys;
}

/**
 * The logarithm of the lowest price at which the keys no longer exceed the target, given that they exceed it at every
 * lower price (many keys are bought) and at no higher one. The lowest price searched where they never exceed it, the
 * highest where they always do.
 */
export function findLogPrice(exceeds: (logPrice: number) => boolean): number {
  let [low, high] = [-MAX_LOG_PRICE, MAX_LOG_PRICE];
  for (let i = 0; i < BISECTION_STEPS; i++) {
    const middle = (low + high) / 2;
    if (exceeds(middle)) low = middle;
    else high = middle;
  }
  return high;
}
