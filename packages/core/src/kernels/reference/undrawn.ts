/**
 * What the keys that a sample did not draw may weigh. A key is drawn by its scan alone, so the scores of the drawn keys say
 * how any key's score follows from its scan: a line, and the noise about it. A key that was not drawn has a share of
 * e^(line + noise) of the sum, at most 1, and there are (1 - pi) / pi such keys for each drawn one of probability pi. The
 * squares of their shares are what the sample can have missed.
 */
import { UNDRAWN_SAMPLE_KEYS } from '../constants.ts';
import { NORMAL_NODES } from '../normal-nodes.ts';
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

/** Every how many of `count` drawn keys one is looked at; the first is number `stride >> 1`. */
export const undrawnStride = (count: number): number => Math.max(1, Math.floor(count / UNDRAWN_SAMPLE_KEYS));

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

/**
 * The expected sum of the squared shares of the keys that were not drawn, over the keys that those of the sample stand for.
 * The noise is normal, taken at the nodes of a Gauss-Hermite rule.
 */
export function undrawnSquares(
  { scans, logProbabilities }: Pick<ScannedSample, 'scans' | 'logProbabilities'>,
  { intercept, slope, deviation }: ScanFit,
  logTotal: number,
): number {
  if (deviation < 0) return 0;
  let sum = 0;
  for (let j = 0; j < scans.length; j++) {
    const logShare = intercept + slope * at(scans, j) - logTotal;
    const squares = NORMAL_NODES.reduce(
      (total, [node, weight]) => total + weight * Math.exp(Math.min(0, 2 * (logShare + node * deviation))),
      0,
    );
    sum += squares * Math.expm1(-at(logProbabilities, j));
  }
  return sum;
}
