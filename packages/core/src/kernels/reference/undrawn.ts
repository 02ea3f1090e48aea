/**
 * What the keys that a sample did not draw may weigh. A key is drawn by its scan alone, so the scores of the drawn keys say
 * how any key's score follows from its scan: a line, and the noise about it. A key that was not drawn has a share of
 * e^(line + noise) of the sum, at most 1, and there are (1 - pi) / pi such keys for each drawn one of probability pi. The
 * squares of their shares are what the sample can have missed.
 */
import { UNDRAWN_RARITY } from '../constants.ts';
import { at } from '../views.ts';

/** Some drawn keys of a row. */
export interface ScannedSample {
  /** Scores by the scan, and by 4-bit keys, in nats. */
  scans: ArrayLike<number>;
  scores: ArrayLike<number>;
  /** ln pi; keys of probability 1 say nothing, and do not count. */
  logProbabilities: ArrayLike<number>;
}

/** score = intercept + slope scan + noise of this standard deviation; negative where too few keys were drawn to say. */
export interface ScanFit {
  intercept: number;
  slope: number;
  deviation: number;
}

/** Fewer keys than this say nothing about the noise. */
const MIN_FIT_KEYS = 8;
/** Scans may be tempered, and are then flatter than scores. */
const MAX_SLOPE = 2;
/** Scans that vary by less, in nats, tell keys apart by nothing. */
const MIN_SCAN_VARIANCE = 1e-6;

/** Noise below this, in nats, is none that matters. */
const MIN_DEVIATION = 0.01;
/** Steps of Newton's method at most, and the last one is where the cap falls by less than LAST_FALL nats. */
const CAP_STEPS = 3;
const LAST_FALL = 0.05;
/** Fewer keys than this are expected above a share of 1 where none can be near it. */
const MIN_KEYS_ABOVE = 1e-30;

/**
 * Every how many of the drawn keys one is looked at; the first is number `stride >> 1`. So some `sampleKeys` of those that were
 * not drawn with certainty are among them, however few they are.
 */
export function sampleStride(logProbabilities: ArrayLike<number>, sampleKeys: number): number {
  let uncertain = 0;
  for (let j = 0; j < logProbabilities.length; j++) if (at(logProbabilities, j) !== 0) uncertain++;
  return Math.max(1, Math.floor(uncertain / sampleKeys));
}

/** The line by least squares, whose slope is within 0 and MAX_SLOPE. */
export function fitScan({ scans, scores, logProbabilities }: ScannedSample): ScanFit {
  let [n, x, y, xx, xy, yy] = [0, 0, 0, 0, 0, 0];
  let [x0, y0] = [0, 0];
  for (let j = 0; j < scans.length; j++) {
    if (at(logProbabilities, j) === 0) continue;
    if (n === 0) [x0, y0] = [at(scans, j), at(scores, j)];
    const [dx, dy] = [at(scans, j) - x0, at(scores, j) - y0];
    n++;
    x += dx;
    y += dy;
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  if (n < MIN_FIT_KEYS) return { intercept: 0, slope: 0, deviation: -1 };
  const [meanX, meanY] = [x / n, y / n];
  const variance = xx / n - meanX * meanX;
  const covariance = xy / n - meanX * meanY;
  const slope = variance > MIN_SCAN_VARIANCE ? Math.max(0, Math.min(MAX_SLOPE, covariance / variance)) : 1;
  const noise = yy / n - meanY * meanY - 2 * slope * covariance + slope * slope * variance;
  return {
    intercept: y0 + meanY - slope * (x0 + meanX),
    slope,
    deviation: Math.sqrt(Math.max(0, noise)),
  };
}

/** The fits of many rows of scores, and the mean of their two largest noises in standard deviations; -1 where none has noise. */
export function fitScanRows(
  { scans, logProbabilities }: Pick<ScannedSample, 'scans' | 'logProbabilities'>,
  rows: readonly ArrayLike<number>[],
): { fits: ScanFit[]; peaks: number } {
  const fits = rows.map((scores) => fitScan({ scans, scores, logProbabilities }));
  const peaks = fits.flatMap(({ intercept, slope, deviation }, row) => {
    if (!(deviation > 0)) return [];
    const scores = rows[row] as ArrayLike<number>;
    const noises = Array.from(scans, (scan, j) => at(scores, j) - intercept - slope * scan).sort((a, b) => b - a);
    return [Math.max(0, (at(noises, 0) + at(noises, 1)) / deviation)];
  });
  return { fits, peaks: peaks.length === 0 ? -1 : peaks.reduce((a, b) => a + b) / peaks.length };
}

/**
 * The expected sum of the squared shares of the keys that were not drawn, over `copies` of the keys that those of the sample
 * stand for. The noise is normal. A share counts as 1 at most, and as the one that 1 / UNDRAWN_RARITY of the keys are
 * expected to exceed: an error that comes so rarely is none that an estimate of each should be of.
 */
export function undrawnSquares(
  { scans, logProbabilities }: Pick<ScannedSample, 'scans' | 'logProbabilities'>,
  copies: number,
  fit: ScanFit,
  logTotal: number,
): number {
  if (fit.deviation < 0) return 0;
  const sigma = Math.max(MIN_DEVIATION, fit.deviation);
  const keys = Array.from(scans, (scan, j) => ({
    logShare: fit.intercept + fit.slope * scan - logTotal,
    weight: copies * Math.expm1(-at(logProbabilities, j)),
  }));
  const sumOver = (of: (logShare: number) => number) =>
    keys.reduce((sum, { logShare, weight }) => sum + weight * of(logShare), 0);
  const keysAbove = (log: number) => sumOver((logShare) => normalTail((log - logShare) / sigma));
  let cap = 0;
  // Newton's method on ln keysAbove, which is concave and falls, comes down to the cap from above.
  for (let i = 0; i < CAP_STEPS; i++) {
    const above = keysAbove(cap);
    if (above * UNDRAWN_RARITY >= 1 || above < MIN_KEYS_ABOVE) break;
    const slope = sumOver((logShare) => density((cap - logShare) / sigma)) / sigma;
    const fall = (Math.log(above * UNDRAWN_RARITY) * above) / slope;
    cap += fall;
    if (fall > -LAST_FALL) break;
  }
  return Math.exp(2 * cap) * sumOver((logShare) => cappedSquare(logShare - cap, sigma));
}

/** E[min(1, e^(mean + sigma z))^2] of a standard normal z. */
function cappedSquare(mean: number, sigma: number): number {
  const a = mean / sigma + 2 * sigma;
  // The density at `a`, times e^(2 mean + 2 sigma^2), is that at mean / sigma.
  const part = density(mean / sigma) * millsRatio(Math.abs(a));
  const below = a >= 0 ? part : Math.exp(2 * mean + 2 * sigma * sigma) - part;
  return below + normalTail(-mean / sigma);
}

/** P(z > x) of a standard normal z. */
function normalTail(x: number): number {
  const tail = density(x) * millsRatio(Math.abs(x));
  return x < 0 ? 1 - tail : tail;
}

const density = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/** P(z > x) over the density at x >= 0: a bound (Birnbaum 1942) that is exact at 0, and by 6 % too large at most. */
const millsRatio = (x: number): number => 2 / (x + Math.sqrt(x * x + 8 / Math.PI));
