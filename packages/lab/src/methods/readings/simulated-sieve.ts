/**
 * The sieve with any scan, simulated in float64 by the rules of core: scores by the scan, a sample drawn by tempered shares,
 * 4-bit scores of the sample, the heaviest keys exactly and the others by 4-bit keys and values, all with Horvitz and
 * Thompson's weights, capped.
 */

import { relativeError } from '../../numerics/attention.ts';
import { addScaled, at, dot, logSumExp, type Random } from '../numbers.ts';
import { randomRotation } from './scan.ts';

const PAGE = 64;
const SINKS = 4;
const RECENT = 32;
const SAMPLE_KEYS = 3;
const MIN_SAMPLE = 128;
const TEMPER = 0.75;
const CAP = 4;
const EXACT_SHARE = 8;

/** Rows (n, d) as 4-bit codes keep them: about the centre of a page, rotated, with one step a row. */
export function fourBitRows(rows: Float64Array, d: number, seed: number): Float64Array {
  const R = randomRotation(d, seed);
  const n = rows.length / d;
  const kept = new Float64Array(rows.length);
  // A row about its centre, and rotated: (d) each
  const [about, y] = [new Float64Array(d), new Float64Array(d)];
  for (let page = 0; page * PAGE < n; page++) {
    const count = Math.min(PAGE, n - page * PAGE);
    const centre = new Float64Array(d);
    for (let j = 0; j < count; j++) addScaled(centre, 0, 1 / count, rows, (page * PAGE + j) * d, d);
    for (let j = page * PAGE; j < page * PAGE + count; j++) {
      for (let a = 0; a < d; a++) about[a] = at(rows, j * d + a) - at(centre, a);
      for (let i = 0; i < d; i++) y[i] = dot(R, i * d, about, 0, d);
      const step = y.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 7.5 || 1;
      kept.set(centre, j * d);
      // Levels are at odd halves of a step.
      for (let i = 0; i < d; i++) {
        const code = Math.max(-7.5, Math.min(7.5, Math.floor(at(y, i) / step) + 0.5));
        addScaled(kept, j * d, code * step, R, i * d, d);
      }
    }
  }
  return kept;
}

export interface SieveRow {
  /** Exact scores, those of the scan, and those of 4-bit keys: (n) each */
  exact: Float64Array;
  scanned: Float64Array;
  fourBit(key: number): number;
  /** Exact output (d). */
  output: Float64Array;
}

/** ||o' - o|| / ||o|| of the rows of a GQA group at one position, for a budget of `keys`. */
export function sieveErrors(
  rows: readonly SieveRow[],
  values: Float64Array,
  fourBitValues: Float64Array,
  keys: number,
  random: Random,
): number[] {
  const n = (rows[0] as SieveRow).exact.length;
  const open = Math.floor(n / PAGE) * PAGE;
  const recentFrom = Math.min(n - RECENT, open);
  const certain = (j: number) => j < SINKS || j >= recentFrom;
  const certainCount = SINKS + n - recentFrom;
  const m = Math.max(SAMPLE_KEYS * keys, certainCount + MIN_SAMPLE);
  const logSums = rows.map(({ scanned }) => logSumExp(scanned));
  const shares = Float64Array.from({ length: n }, (_, j) => {
    let most = Number.NEGATIVE_INFINITY;
    for (const [r, { scanned }] of rows.entries()) most = Math.max(most, at(scanned, j) - at(logSums, r));
    return TEMPER * most;
  });
  const threshold = thresholdOf(shares, certain, m - certainCount);
  const sample: { key: number; logProbability: number }[] = [];
  for (let j = 0; j < n; j++) {
    const logProbability = certain(j) ? 0 : Math.min(0, at(shares, j) - threshold);
    if (logProbability === 0 || random.uniform() < Math.exp(logProbability)) sample.push({ key: j, logProbability });
  }
  const weighed = (score: number, logProbability: number, r: number) => {
    const cap = Math.log(CAP) + threshold / TEMPER + at(logSums, r);
    return Math.max(score, Math.min(score - logProbability, cap));
  };
  // Log-weights (rows, sample) by 4-bit scores, and the largest share of every key of the sample.
  const weights = rows.map((row, r) =>
    sample.map(({ key, logProbability }) =>
      weighed(key >= open ? at(row.exact, key) : row.fourBit(key), logProbability, r),
    ),
  );
  const totals = weights.map((logWeightsOfRow) => logSumExp(logWeightsOfRow));
  const shareOf = sample.map((_, i) =>
    Math.max(...weights.map((logWeightsOfRow, r) => at(logWeightsOfRow, i) - at(totals, r))),
  );
  const order = sample.map((_, i) => i).sort((a, b) => at(shareOf, b) - at(shareOf, a));
  const exact = new Set(sample.flatMap(({ key }, i) => (certain(key) ? [i] : [])));
  for (const i of order) {
    if (exact.size >= keys || at(shareOf, i) < Math.log(EXACT_SHARE / m)) break;
    exact.add(i);
  }
  return rows.map((row, r) => {
    const d = row.output.length;
    const logWeights = sample.map(({ key, logProbability }, i) => {
      return exact.has(i) ? weighed(at(row.exact, key), logProbability, r) : at(weights[r] ?? [], i);
    });
    const total = logSumExp(logWeights);
    const output = new Float64Array(d);
    for (const [i, { key }] of sample.entries()) {
      addScaled(output, 0, Math.exp(at(logWeights, i) - total), exact.has(i) ? values : fourBitValues, key * d, d);
    }
    return relativeError(output, row.output);
  });
}

/** t so that sum of min(1, e^(g - t)) over keys that are not certain is `count`. */
function thresholdOf(shares: Float64Array, certain: (j: number) => boolean, count: number): number {
  let [low, high] = [-60, 10];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    let expected = 0;
    for (const [j, share] of shares.entries()) if (!certain(j)) expected += Math.min(1, Math.exp(share - middle));
    if (expected > count) low = middle;
    else high = middle;
  }
  return high;
}
