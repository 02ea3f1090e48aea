/** The search for the keys that a divergence from full attention takes, and fits of their growth with n. */
import { fitLine, mean } from '../numerics/statistics.ts';

/** The search for the fewest keys, from `min` to `max`, whose divergence is within a limit. */
export interface KeysSearch {
  /** The KL divergence that is tolerated, in nats. */
  maxKl: number;
  min: number;
  /** All keys, which are always enough and are not tried. */
  max: number;
  /** The first number of keys to try. */
  guess: number;
}

/** The answer lies so close above keys that were not enough. */
const TOLERANCE = 1.06;
/** The divergence falls roughly as this power of the keys, which steps without a bracket assume. */
const KL_EXPONENT = 2;
/** A step without a bracket changes the keys at most by this factor. */
const MAX_STEP_FACTOR = 4;
/** A step within a bracket stays away from its ends by this share of its logarithmic width. */
const MARGIN = 0.12;

/** The fewest keys within the limit, to 6 %: they were tried. `divergence` should fall as keys grow, if not everywhere. */
export async function findKeys(
  divergence: (keys: number) => Promise<number>,
  { maxKl, min, max, guess }: KeysSearch,
): Promise<number> {
  let low: Point | undefined;
  let high: Point = { keys: max, kl: 0 };
  let keys = Math.min(max - 1, Math.max(min, Math.round(guess)));
  while (high.keys > min && (low === undefined || high.keys > Math.max(low.keys + 1, TOLERANCE * low.keys))) {
    const kl = await divergence(keys);
    if (kl <= maxKl) high = { keys, kl };
    else low = { keys, kl };
    keys = nextKeys(low, high, { maxKl, min, max });
  }
  return high.keys;
}

interface Point {
  keys: number;
  kl: number;
}

function nextKeys(low: Point | undefined, high: Point, { maxKl, min, max }: Omit<KeysSearch, 'guess'>): number {
  // Without a bracket, by the power that divergences tend to fall by, and a little further, to the other side.
  const extrapolate = ({ keys, kl }: Point) => {
    const factor = Math.min(MAX_STEP_FACTOR, Math.max(1 / MAX_STEP_FACTOR, (kl / maxKl) ** (1 / KL_EXPONENT)));
    return Math.round(keys * factor * (factor > 1 ? 1.1 : 0.9));
  };
  if (low === undefined) return Math.max(min, Math.min(high.keys - 1, extrapolate(high)));
  const next = Math.max(low.keys + 1, extrapolate(low));
  if (high.keys === max && next < max) return next;
  const [a, b] = [Math.log(low.keys), Math.log(high.keys)];
  const [above, below] = [Math.log(low.kl / maxKl), Math.log(maxKl / Math.max(high.kl, maxKl * 1e-3))];
  const fraction = Math.min(1 - MARGIN, Math.max(MARGIN, above / (above + below)));
  return Math.min(high.keys - 1, Math.max(low.keys + 1, Math.round(Math.exp(a + fraction * (b - a)))));
}

/** Keys at each length, and the exponent of their growth. */
export interface KeysByLength {
  keys: number[];
  /** Least-squares slope of ln keys on ln n. */
  C: number;
}

export const fitGrowth = (lengths: readonly number[], keys: readonly number[]): KeysByLength => ({
  keys: [...keys],
  C: fitLine(lengths.map(Math.log), keys.map(Math.log)).slope,
});

/** alpha n^C with the exponent of the needed keys, and the smallest alpha that is enough at every length. */
export function fitSufficientPower(
  lengths: readonly number[],
  needed: readonly number[],
): KeysByLength & { alpha: number } {
  const { C } = fitGrowth(lengths, needed);
  const alpha = Math.max(...needed.map((keys, i) => keys / (lengths[i] as number) ** C));
  return { alpha, C, keys: lengths.map((n) => Math.min(n, Math.ceil(alpha * n ** C - 1e-9))) };
}

/** The cost of one fixed budget that is enough at every length, over the mean keys of another over the lengths. */
export const costOfFixed = (fixed: readonly number[], other: readonly number[]): number =>
  Math.max(...fixed) / mean(other);
