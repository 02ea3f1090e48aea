/**
 * Water-filling: keys go to whoever's error falls most by one key more, until what is left to gain is the same for all.
 * The squared error of each is a power of its keys, e^level k^slope, so that the keys at a price have a closed form, and
 * only the price is searched for.
 */

/** ln of a mean squared error as a line over ln keys. */
export interface ErrorLine {
  /** At one key. */
  level: number;
  /** Below 0. */
  slope: number;
}

/** Least and most keys that each gets. */
export interface KeyRange {
  min: number;
  max: number;
}

/** Halvings of the range of prices. */
const BISECTION_STEPS = 50;
/** Prices that are looked at: e^-80 to e^80 of squared error for a key. */
const MAX_LOG_PRICE = 80;

/** ln of the squared error that `keys` leave. */
export const logSquaredError = ({ level, slope }: ErrorLine, keys: number): number => level + slope * Math.log(keys);

/** The keys of each where one more saves as much squared error as e^logPrice, written into `keys`. */
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
 * The price, as a logarithm, up to which keys exceed what is asked for: they do at all low prices, at which much is
 * bought, and at no high ones. Where they do at none, the lowest that is looked at; where at all, the highest.
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
