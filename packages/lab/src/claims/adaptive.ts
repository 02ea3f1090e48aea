/** Budgets over a mix of context lengths: what each costs for one error, and what each errs for one cost. */
import { fitLine, mean } from '../numerics/statistics.ts';
import type { Measurement, Quantity } from './row.ts';

/** Errors below it are rounding. */
export const ROUNDING_ERROR = 1e-12;

/**
 * The keys at one length that leave at most `error`: between the steps of the ladder, on logarithmic scales, but for the
 * last of them.
 */
export function keysForError({ n, ks, curves }: Measurement, quantity: Quantity, error: number): number {
  const curve = curves[quantity];
  for (let at = 0; at < ks.length; at++) {
    const [k, currentError] = [ks[at] as number, curve[at] as number];
    if (currentError > error) continue;
    if (at === 0) return k;
    const [previousKeys, previousError] = [ks[at - 1] as number, curve[at - 1] as number];
    // The last step, to all keys and no error, is straight.
    if (currentError <= ROUNDING_ERROR)
      return previousKeys + ((k - previousKeys) * (previousError - error)) / previousError;
    const share = Math.log(previousError / error) / Math.log(previousError / currentError);
    return previousKeys * (k / previousKeys) ** share;
  }
  return n;
}

/** The error that a number of keys leaves, between the steps of the ladder; none where it is all of them. */
export function errorAt({ n, ks, curves }: Measurement, quantity: Quantity, keys: number): number {
  const curve = curves[quantity];
  const k = Math.max(1, Math.min(n, keys));
  const above = Math.max(
    1,
    ks.findIndex((each) => each >= k),
  );
  const [k0, k1] = [ks[above - 1] as number, ks[above] as number];
  const [e0, e1] = [curve[above - 1] as number, curve[above] as number];
  const share = Math.log(k / k0) / Math.log(k1 / k0);
  if (e1 <= ROUNDING_ERROR) return e0 + ((k - k0) / (k1 - k0)) * (e1 - e0);
  return e0 * (e1 / e0) ** share;
}

export interface PowerLaw {
  alpha: number;
  C: number;
}

export const keysOfLaw = ({ alpha, C }: PowerLaw, n: number): number => Math.min(n, alpha * n ** C);

/** alpha n^C by least squares, alpha then raised until it is enough at every length. */
export function sufficientLaw(lengths: readonly number[], needed: readonly number[]): PowerLaw {
  const logs = lengths.map(Math.log);
  const { slope: C } = fitLine(logs, needed.map(Math.log));
  const alpha = Math.max(...lengths.map((n, at) => (needed[at] as number) / n ** C));
  return { alpha, C };
}

export interface Comparison {
  law: PowerLaw;
  /** Keys that are enough at every length: those of the length that needs most. */
  fixed: number;
  /** At each length: keys that are needed, that the law takes, and that the fixed budget takes. */
  lengths: { n: number; needed: number; law: number; fixed: number }[];
  /** Mean keys over the lengths, fixed over law, each enough at every length. */
  costRatio: number;
  /** With equal mean keys, those of the law: the errors at each length, their means, and the largest ones. */
  equalCost: { keys: number; errors: { n: number; law: number; fixed: number }[]; mean: Pair; worst: Pair };
}

interface Pair {
  law: number;
  fixed: number;
}

/** Compares alpha n^C with a fixed number over lengths that are equally frequent. */
export function compareBudgets(means: readonly Measurement[], quantity: Quantity, error: number): Comparison {
  const lengths = means.map(({ n }) => n);
  const needed = means.map((each) => keysForError(each, quantity, error));
  const law = sufficientLaw(lengths, needed);
  const fixed = Math.max(...needed);
  const rows = lengths.map((n, at) => ({
    n,
    needed: needed[at] as number,
    law: keysOfLaw(law, n),
    fixed: Math.min(n, fixed),
  }));
  const keys = mean(rows.map((row) => row.law));
  const equal = sameMean(lengths, keys);
  const errors = means.map((each, at) => ({
    n: each.n,
    law: errorAt(each, quantity, rows[at]?.law as number),
    fixed: errorAt(each, quantity, equal),
  }));
  const errorsOf = (which: keyof Pair) => errors.map((each) => each[which]);
  return {
    law,
    fixed,
    lengths: rows,
    costRatio: mean(rows.map((row) => row.fixed)) / keys,
    equalCost: {
      keys,
      errors,
      mean: { law: mean(errorsOf('law')), fixed: mean(errorsOf('fixed')) },
      worst: { law: Math.max(...errorsOf('law')), fixed: Math.max(...errorsOf('fixed')) },
    },
  };
}

/** The fixed number whose mean over the lengths is `target`, where a context has no more keys than it has. */
function sameMean(lengths: readonly number[], target: number): number {
  let [low, high] = [0, Math.max(...lengths)];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (mean(lengths.map((n) => Math.min(n, middle))) < target) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
