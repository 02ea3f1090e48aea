/** What the keys that a sample did not draw may weigh: `src/kernels/reference/undrawn.ts` specifies it. */
import { exponential, exponential1, maxLanes, sumLanes } from './exponential';
import { FIT_SAMPLE_KEYS, UNDRAWN_RARITY, UNDRAWN_SAMPLE_KEYS } from './generated';
import { sumInts } from './lanes';
import { logarithm } from './logarithm';
import { scanUnitsPerNat } from './scan-parts';

const MIN_FIT_KEYS: f64 = 8;
const MAX_SLOPE: f64 = 2;
const MIN_SCAN_VARIANCE: f64 = 1e-6;
const MIN_DEVIATION: f32 = 0.01;
const CAP_STEPS: i32 = 3;
const LAST_FALL: f32 = 0.05;
const MIN_KEYS_ABOVE: f32 = 1e-30;

/** See `sampleStride` of the reference. */
function sampleStride(logProbabilities: usize, count: i32, sampleKeys: i32): i32 {
  const whole = <usize>(count & ~3) << 2;
  // Each lane of a comparison that holds is -1.
  let counts = i32x4.splat(0);
  for (let i: usize = 0; i < whole; i += 16) {
    counts = i32x4.sub(counts, f32x4.ne(v128.load(logProbabilities + i), f32x4.splat(0.0)));
  }
  let uncertain = sumInts(counts);
  for (let i = whole; i < <usize>count << 2; i += 4) uncertain += i32(load<f32>(logProbabilities + i) != 0);
  return max(1, uncertain / sampleKeys);
}

/** See `QuantizedKernels.fitScan`. */
export function fitScan(
  scans: usize,
  fractionBits: i32,
  indices: usize,
  logProbabilities: usize,
  count: i32,
  scores: usize,
  fit: usize,
): void {
  const nats: f64 = 1.0 / <f64>scanUnitsPerNat(fractionBits);
  const stride = sampleStride(logProbabilities, count, FIT_SAMPLE_KEYS);
  let n: f64 = 0;
  let x0: f64 = 0;
  let y0: f64 = 0;
  let x: f64 = 0;
  let y: f64 = 0;
  let xx: f64 = 0;
  let xy: f64 = 0;
  let yy: f64 = 0;
  for (let j = stride >> 1; j < count; j += stride) {
    const at = <usize>j << 2;
    if (load<f32>(logProbabilities + at) == 0) continue;
    const scan = nats * <f64>load<i16>(scans + (<usize>load<i32>(indices + at) << 1));
    const score = <f64>load<f32>(scores + at);
    if (n == 0) {
      x0 = scan;
      y0 = score;
    }
    const dx = scan - x0;
    const dy = score - y0;
    n += 1;
    x += dx;
    y += dy;
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  if (n < MIN_FIT_KEYS) {
    storeFit(fit, 0, 0, -1);
    return;
  }
  x /= n;
  y /= n;
  const variance = xx / n - x * x;
  const covariance = xy / n - x * y;
  const slope = variance > MIN_SCAN_VARIANCE ? max<f64>(0, min<f64>(MAX_SLOPE, covariance / variance)) : 1;
  const noise = yy / n - y * y - 2 * slope * covariance + slope * slope * variance;
  storeFit(fit, <f32>(y0 + y - slope * (x0 + x)), <f32>slope, <f32>Math.sqrt(max<f64>(0, noise)));
}

/** The scans (count) of listed keys less their mean, in nats, into `centered`: zeros up to a multiple of 4. Returns the mean. */
@inline
function centerScans(scans: usize, nats: f32, indices: usize, count: i32, centered: usize): f32 {
  let sum: f32 = 0;
  for (let j = 0; j < count; j++) sum += scanAt(scans, indices, j);
  const mean = sum / <f32>count;
  for (let j = 0; j < count; j++) store<f32>(centered + (<usize>j << 2), nats * (scanAt(scans, indices, j) - mean));
  for (let j = count; j & 3; j++) store<f32>(centered + (<usize>j << 2), 0);
  return nats * mean;
}

/** All bits of the lanes of numbers j to j + 3 that are below `count`. */
@inline
function lanesBelow(j: i32, count: i32): v128 {
  return i32x4.lt_s(i32x4.add(i32x4.splat(j), i32x4(0, 1, 2, 3)), i32x4.splat(count));
}

/** See `QuantizedKernels.fitScanRows`. `scratch` holds the scans (count, rounded up to a multiple of 4). */
export function fitScanRows(
  scans: usize,
  fractionBits: i32,
  indices: usize,
  count: i32,
  scores: usize,
  stride: i32,
  rows: i32,
  fits: usize,
  scratch: usize,
): f32 {
  if (<f64>count < MIN_FIT_KEYS) {
    for (let row = 0; row < rows; row++) storeFit(fits + <usize>(row * 12), 0, 0, -1);
    return -1;
  }
  const meanScan = centerScans(scans, <f32>(1.0 / scanUnitsPerNat(fractionBits)), indices, count, scratch);
  let squares = f32x4.splat(0.0);
  for (let j = 0; j < count; j += 4) {
    const x = v128.load(scratch + (<usize>j << 2));
    squares = f32x4.add(squares, f32x4.mul(x, x));
  }
  const scanSquares = sumLanes(squares);
  const varies = scanSquares > <f32>MIN_SCAN_VARIANCE * <f32>count;
  let peaks: f32 = 0;
  let noisy = 0;
  for (let row = 0; row < rows; row++) {
    const y = scores + (<usize>(row * stride) << 2);
    let sums = f32x4.splat(0.0);
    for (let j = 0; j < count; j += 4) {
      sums = f32x4.add(sums, v128.and(v128.load(y + (<usize>j << 2)), lanesBelow(j, count)));
    }
    const mean = sumLanes(sums) / <f32>count;
    let products = f32x4.splat(0.0);
    for (let j = 0; j < count; j += 4) {
      const at = <usize>j << 2;
      const dy = f32x4.sub(v128.load(y + at), f32x4.splat(mean));
      // Behind the last key x is 0.
      products = f32x4.add(products, v128.and(f32x4.mul(v128.load(scratch + at), dy), lanesBelow(j, count)));
    }
    const slope = varies ? max<f32>(0, min<f32>(<f32>MAX_SLOPE, sumLanes(products) / scanSquares)) : <f32>1;
    squares = f32x4.splat(0.0);
    let largest = f32x4.splat(-Infinity);
    let second = largest;
    for (let j = 0; j < count; j += 4) {
      const at = <usize>j << 2;
      const line = f32x4.add(f32x4.splat(mean), f32x4.mul(f32x4.splat(slope), v128.load(scratch + at)));
      const below = lanesBelow(j, count);
      const noise = f32x4.sub(v128.load(y + at), line);
      squares = f32x4.add(squares, v128.and(f32x4.mul(noise, noise), below));
      const seen = v128.bitselect(noise, f32x4.splat(-Infinity), below);
      second = f32x4.max(second, f32x4.min(largest, seen));
      largest = f32x4.max(largest, seen);
    }
    const deviation = <f32>Math.sqrt(<f64>(sumLanes(squares) / <f32>count));
    storeFit(fits + <usize>(row * 12), mean - slope * meanScan, slope, deviation);
    if (!(deviation > 0)) continue;
    peaks += max<f32>(0, sumOfTwoLargest(largest, second) / deviation);
    noisy++;
  }
  return noisy === 0 ? <f32>-1 : peaks / <f32>noisy;
}

@inline
function storeFit(fit: usize, intercept: f32, slope: f32, deviation: f32): void {
  store<f32>(fit, intercept, 0);
  store<f32>(fit, slope, 4);
  store<f32>(fit, deviation, 8);
}

/** The sum of the two largest numbers, of which each lane has its largest and its second. */
@inline
function sumOfTwoLargest(largest: v128, second: v128): f32 {
  const a = f32x4.extract_lane(largest, 0);
  const b = f32x4.extract_lane(largest, 1);
  const c = f32x4.extract_lane(largest, 2);
  const e = f32x4.extract_lane(largest, 3);
  const ab = max(a, b);
  const ce = max(c, e);
  // The second of all is the lower of these, or the lower of the pair with the largest, or a second of a lane.
  const next = max(min(ab, ce), ab > ce ? min(a, b) : min(c, e));
  return max(ab, ce) + max(next, maxLanes(second));
}

/**
 * See `QuantizedKernels.undrawnSquares`. `scratch` holds the scans of the keys that are looked at, and (1 - pi) / pi of each,
 * both rounded up to a multiple of 4.
 */
export function undrawnSquares(
  scans: usize,
  fractionBits: i32,
  indices: usize,
  logProbabilities: usize,
  count: i32,
  copies: f32,
  fits: usize,
  rows: i32,
  logTotals: usize,
  squares: usize,
  scratch: usize,
): void {
  const keyStride = sampleStride(logProbabilities, count, UNDRAWN_SAMPLE_KEYS);
  const others = scratch + (<usize>((count + 3) & ~3) << 2);
  let looked = 0;
  for (let j = keyStride >> 1; j < count; j += keyStride) {
    const log = load<f32>(logProbabilities + (<usize>j << 2));
    if (log == 0) continue;
    store<f32>(scratch + (<usize>looked << 2), scanAt(scans, indices, j));
    store<f32>(others + (<usize>looked << 2), log);
    looked++;
  }
  for (let j = looked; j & 3; j++) {
    store<f32>(scratch + (<usize>j << 2), 0);
    store<f32>(others + (<usize>j << 2), 0);
  }
  const one = f32x4.splat(1.0);
  for (let j = 0; j < looked; j += 4) {
    const at = others + (<usize>j << 2);
    v128.store(at, f32x4.sub(f32x4.div(one, exponential(v128.load(at))), one));
  }
  const weight = copies * <f32>keyStride;
  const unitsPerNat = scanUnitsPerNat(fractionBits);
  for (let row = 0; row < rows; row++) {
    const at = <usize>row << 2;
    const fit = fits + <usize>(row * 12);
    const logTotal = load<f32>(logTotals + at);
    store<f32>(squares + at, undrawnSquaresOf(scratch, others, looked, unitsPerNat, weight, fit, logTotal));
  }
}

/** The expected sum for one row, of keys whose scans and weights (count, rounded up to a multiple of 4) lie one behind the other. */
@inline
function undrawnSquaresOf(
  scans: usize,
  others: usize,
  count: i32,
  unitsPerNat: f32,
  weight: f32,
  fit: usize,
  logTotal: f32,
): f32 {
  const deviation = load<f32>(fit, 8);
  if (deviation < 0) return 0;
  const sigma = max<f32>(MIN_DEVIATION, deviation);
  // Log-shares in units of the noise.
  const slope = f32x4.splat(load<f32>(fit, 4) / (unitsPerNat * sigma));
  const intercept = (load<f32>(fit) - logTotal) / sigma;
  const end = <usize>count << 2;
  let cap: f32 = 0;
  for (let step = 0; step < CAP_STEPS; step++) {
    let above = f32x4.splat(0.0);
    let density = above;
    const lowered = f32x4.splat(cap / sigma - intercept);
    for (let at: usize = 0; at < end; at += 16) {
      const x = f32x4.sub(lowered, f32x4.mul(slope, v128.load(scans + at)));
      const densities = densityAt(x);
      const tail = f32x4.mul(densities, millsRatio(f32x4.abs(x)));
      const inside = f32x4.lt(x, f32x4.splat(0.0));
      const tails = v128.bitselect(f32x4.sub(f32x4.splat(1.0), tail), tail, inside);
      const weights = v128.load(others + at);
      above = f32x4.add(above, f32x4.mul(weights, tails));
      density = f32x4.add(density, f32x4.mul(weights, densities));
    }
    const keys = weight * sumLanes(above);
    if (keys * <f32>UNDRAWN_RARITY >= 1 || keys < MIN_KEYS_ABOVE) break;
    const fall = (<f32>logarithm(keys * <f32>UNDRAWN_RARITY) * keys * sigma) / (weight * sumLanes(density));
    cap += fall;
    if (fall > -LAST_FALL) break;
  }
  let sum = f32x4.splat(0.0);
  const twoSigma = f32x4.splat(<f32>2.0 * sigma);
  const raised = f32x4.splat(intercept - cap / sigma);
  for (let at: usize = 0; at < end; at += 16) {
    const z = f32x4.add(raised, f32x4.mul(slope, v128.load(scans + at)));
    const densities = densityAt(z);
    const a = f32x4.add(z, twoSigma);
    const part = f32x4.mul(densities, millsRatio(f32x4.abs(a)));
    // Where this is taken, z < -2 sigma.
    const moment = exponential(f32x4.pmin(f32x4.mul(twoSigma, f32x4.add(z, f32x4.splat(sigma))), f32x4.splat(0.0)));
    const below = v128.bitselect(f32x4.sub(moment, part), part, f32x4.lt(a, f32x4.splat(0.0)));
    const tail = f32x4.mul(densities, millsRatio(f32x4.abs(z)));
    const above = v128.bitselect(f32x4.sub(f32x4.splat(1.0), tail), tail, f32x4.gt(z, f32x4.splat(0.0)));
    sum = f32x4.add(sum, f32x4.mul(v128.load(others + at), f32x4.add(below, above)));
  }
  return weight * sumLanes(sum) * exponential1(<f32>2.0 * cap);
}

@inline
function scanAt(scans: usize, indices: usize, j: i32): f32 {
  return <f32>load<i16>(scans + (<usize>load<i32>(indices + (<usize>j << 2)) << 1));
}

/** The density of the standard normal distribution. */
@inline
function densityAt(x: v128): v128 {
  const squares = f32x4.mul(f32x4.mul(x, x), f32x4.splat(-0.5));
  return f32x4.mul(exponential(squares), f32x4.splat(<f32>0.3989422804014327));
}

/** See `millsRatio` of the reference. */
@inline
function millsRatio(x: v128): v128 {
  const root = f32x4.sqrt(f32x4.add(f32x4.mul(x, x), f32x4.splat(<f32>2.546479089470325)));
  return f32x4.div(f32x4.splat(2.0), f32x4.add(x, root));
}
