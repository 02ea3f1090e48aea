/**
 * One row of attention in float64: what its k largest entries leave out, by each of the things that "error" can mean.
 * p is the softmax of the row, p' that of the k largest scores alone, o and o' the outputs that they give.
 */

import { mean } from '../numerics/statistics.ts';

/** What each quantity is, in words. */
export const QUANTITIES = {
  tailMass: 'discarded share of the softmax',
  matrix: 'largest change of an entry of the attention matrix, max |p′ − p|',
  output: 'relative error of the output, ‖o′ − o‖ / ‖o‖',
  outputAbsolute: 'absolute error of the output, ‖o′ − o‖ / √d',
} as const;
export type Quantity = keyof typeof QUANTITIES;

/** Shares of the softmax that keys are counted for. */
export const SHARES = [0.1, 0.05, 0.01] as const;
/** The absolute threshold: entries above it are counted. */
export const THRESHOLD = 0.01;

export interface Row {
  scores: Float64Array;
  /** Scores times this, in nats, are those of the row. */
  scale: number;
  /** The keys of the row, largest score first. */
  order: Uint32Array;
  /** (keys, d) */
  values: Float32Array;
  d: number;
}

/** What is measured of a row, or the mean of it over rows. */
export interface Measurement {
  /** Keys of the row. */
  n: number;
  /** Numbers of keys that the curves are at, ascending; the last is n. */
  ks: number[];
  curves: Record<Quantity, Float64Array>;
  /** Keys that leave out at most each of SHARES. */
  needed: number[];
  /** -sum p ln p, in nats. */
  entropy: number;
  /** Standard deviation of the scores, in nats. */
  spread: number;
  /** Entries above THRESHOLD, and their share of the softmax. */
  above: number;
  aboveMass: number;
}

/** Measures a row at each of `ks`, of which the last is the number of its keys. */
export function measureRow({ scores, scale, order, values, d }: Row, ks: number[]): Measurement {
  const n = order.length;
  const max = scale * (scores[order[0] as number] as number);
  const weights = new Float64Array(n);
  let [total, moment, sum, squares] = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    const below = scale * (scores[order[i] as number] as number) - max;
    const weight = Math.exp(below);
    weights[i] = weight;
    total += weight;
    moment += weight * below;
    sum += below;
    squares += below * below;
  }
  return {
    n,
    ks,
    curves: curvesOf(weights, total, order, values, d, ks),
    needed: SHARES.map((share) => keysFor(weights, (1 - share) * total)),
    entropy: Math.log(total) - moment / total,
    spread: Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2)),
    ...entriesAbove(weights, THRESHOLD * total, total),
  };
}

/** Weights are in the order of `order`, the largest 1. */
function curvesOf(
  weights: Float64Array,
  total: number,
  order: Uint32Array,
  values: Float32Array,
  d: number,
  ks: readonly number[],
): Measurement['curves'] {
  const n = order.length;
  // Weighted sums of the values of the best k: (ks, d); and the sums of their weights.
  const sums = new Float64Array(ks.length * d);
  const masses = new Float64Array(ks.length);
  const running = new Float64Array(d);
  let mass = 0;
  for (let i = 0, at = 0; i < n; i++) {
    const weight = weights[i] as number;
    const from = (order[i] as number) * d;
    for (let j = 0; j < d; j++) running[j] = (running[j] as number) + weight * (values[from + j] as number);
    mass += weight;
    if (i + 1 === ks[at]) {
      sums.set(running, at * d);
      masses[at++] = mass;
    }
  }
  const curves = emptyCurves(ks.length);
  for (let at = 0; at < ks.length; at++) {
    const k = ks[at] as number;
    const keptMass = masses[at] as number;
    let [error, norm] = [0, 0];
    for (let j = 0; j < d; j++) {
      const exact = (running[j] as number) / mass;
      error += ((sums[at * d + j] as number) / keptMass - exact) ** 2;
      norm += exact * exact;
    }
    curves.tailMass[at] = Math.max(0, 1 - keptMass / mass);
    curves.matrix[at] = Math.max(1 / keptMass - 1 / total, k < n ? (weights[k] as number) / total : 0);
    curves.output[at] = Math.sqrt(error / norm);
    curves.outputAbsolute[at] = Math.sqrt(error / d);
  }
  return curves;
}

export const emptyCurves = (length: number): Measurement['curves'] =>
  Object.fromEntries(
    Object.keys(QUANTITIES).map((quantity) => [quantity, new Float64Array(length)]),
  ) as Measurement['curves'];

/** How many of the largest weights make up `mass`. */
function keysFor(weights: Float64Array, mass: number): number {
  let [sum, k] = [0, 0];
  while (k < weights.length && sum < mass) sum += weights[k++] as number;
  return k;
}

function entriesAbove(weights: Float64Array, threshold: number, total: number): { above: number; aboveMass: number } {
  let [above, mass] = [0, 0];
  while (above < weights.length && (weights[above] as number) > threshold) mass += weights[above++] as number;
  return { above, aboveMass: mass / total };
}

/** Keys by descending score. */
export const descending = (scores: Float64Array): Uint32Array =>
  Uint32Array.from(scores.keys()).sort((a, b) => (scores[b] as number) - (scores[a] as number));

/** The mean over rows of equal n and ks. */
export function meanMeasurement(rows: readonly Measurement[]): Measurement {
  const [first] = rows;
  if (first === undefined) throw new RangeError('There are no rows.');
  const meanOf = (pick: (row: Measurement) => number) => mean(rows.map(pick));
  const curves = emptyCurves(first.ks.length);
  for (const quantity of Object.keys(curves) as Quantity[]) {
    for (let at = 0; at < first.ks.length; at++) {
      curves[quantity][at] = meanOf((row) => row.curves[quantity][at] as number);
    }
  }
  return {
    n: first.n,
    ks: first.ks,
    curves,
    needed: SHARES.map((_, i) => meanOf(({ needed }) => needed[i] as number)),
    entropy: meanOf(({ entropy }) => entropy),
    spread: meanOf(({ spread }) => spread),
    above: meanOf(({ above }) => above),
    aboveMass: meanOf(({ aboveMass }) => aboveMass),
  };
}
