/** What the keys that a sample did not draw may weigh: `src/kernels/undrawn.ts` specifies it. */
import { exponential, exponential1, sumLanes } from './exponential';
import { UNDRAWN_RARITY, UNDRAWN_SAMPLE_KEYS } from './generated';
import { sumInts } from './lanes';
import { logarithm } from './logarithm';
import { scanUnitsPerNat } from './scan-parts';

const MIN_FIT_KEYS: f64 = 8;
const MAX_SLOPE: f64 = 2;
const MIN_SCAN_VARIANCE: f64 = 1e-6;
const MIN_DEVIATION: f32 = 0.01;
const CAP_STEPS: i32 = 3;
const MIN_KEYS_ABOVE: f32 = 1e-30;

/** See `undrawnStride` of the reference. */
export function undrawnStride(logProbabilities: usize, count: i32): i32 {
  const whole = <usize>(count & ~3) << 2;
  // Each lane of a comparison that holds is -1.
  let counts = i32x4.splat(0);
  for (let i: usize = 0; i < whole; i += 16) {
    counts = i32x4.sub(counts, f32x4.ne(v128.load(logProbabilities + i), f32x4.splat(0.0)));
  }
  let uncertain = sumInts(counts);
  for (let i = whole; i < <usize>count << 2; i += 4) uncertain += i32(load<f32>(logProbabilities + i) != 0);
  return max(1, uncertain / UNDRAWN_SAMPLE_KEYS);
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
  const stride = undrawnStride(logProbabilities, count);
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
    store<f32>(fit, 0, 0);
    store<f32>(fit, 0, 4);
    store<f32>(fit, -1, 8);
    return;
  }
  x /= n;
  y /= n;
  const variance = xx / n - x * x;
  const covariance = xy / n - x * y;
  const slope = variance > MIN_SCAN_VARIANCE ? max<f64>(0, min<f64>(MAX_SLOPE, covariance / variance)) : 1;
  const noise = yy / n - y * y - 2 * slope * covariance + slope * slope * variance;
  store<f32>(fit, <f32>(y0 + y - slope * (x0 + x)), 0);
  store<f32>(fit, <f32>slope, 4);
  store<f32>(fit, <f32>Math.sqrt(max<f64>(0, noise)), 8);
}

/** See `QuantizedKernels.undrawnSquares`. */
export function undrawnSquares(
  scans: usize,
  fractionBits: i32,
  indices: usize,
  logProbabilities: usize,
  count: i32,
  copies: f32,
  fit: usize,
  logTotal: f32,
): f32 {
  const deviation = load<f32>(fit, 8);
  if (deviation < 0) return 0;
  const stride = undrawnStride(logProbabilities, count);
  const sigma = max<f32>(MIN_DEVIATION, deviation);
  // Log-shares in units of the noise.
  const slope = load<f32>(fit, 4) / (scanUnitsPerNat(fractionBits) * sigma);
  const intercept = (load<f32>(fit) - logTotal) / sigma;
  const weight = copies * <f32>stride;
  let cap: f32 = 0;
  for (let step = 0; step < CAP_STEPS; step++) {
    let above = f32x4.splat(0.0);
    let density = above;
    for (let j = stride >> 1; j < count; j += 4 * stride) {
      const others = othersOf(logProbabilities, j, stride, count);
      if (!v128.any_true(others)) continue;
      const x = f32x4.sub(f32x4.splat(cap / sigma), logShares(scans, indices, j, stride, count, slope, intercept));
      const densities = densityAt(x);
      const tail = f32x4.mul(densities, millsRatio(f32x4.abs(x)));
      const inside = f32x4.lt(x, f32x4.splat(0.0));
      const tails = v128.bitselect(f32x4.sub(f32x4.splat(1.0), tail), tail, inside);
      above = f32x4.add(above, f32x4.mul(others, tails));
      density = f32x4.add(density, f32x4.mul(others, densities));
    }
    const keys = weight * sumLanes(above);
    if (keys * <f32>UNDRAWN_RARITY >= 1 || keys < MIN_KEYS_ABOVE) break;
    cap += (<f32>logarithm(keys * <f32>UNDRAWN_RARITY) * keys * sigma) / (weight * sumLanes(density));
  }
  let sum = f32x4.splat(0.0);
  const twoSigma = f32x4.splat(<f32>2.0 * sigma);
  for (let j = stride >> 1; j < count; j += 4 * stride) {
    const others = othersOf(logProbabilities, j, stride, count);
    if (!v128.any_true(others)) continue;
    const z = f32x4.sub(
      logShares(scans, indices, j, stride, count, slope, intercept),
      f32x4.splat(cap / sigma),
    );
    const densities = densityAt(z);
    const a = f32x4.add(z, twoSigma);
    const part = f32x4.mul(densities, millsRatio(f32x4.abs(a)));
    // Where this is taken, z < -2 sigma.
    const moment = exponential(f32x4.pmin(f32x4.mul(twoSigma, f32x4.add(z, f32x4.splat(sigma))), f32x4.splat(0.0)));
    const below = v128.bitselect(f32x4.sub(moment, part), part, f32x4.lt(a, f32x4.splat(0.0)));
    const tail = f32x4.mul(densities, millsRatio(f32x4.abs(z)));
    const above = v128.bitselect(f32x4.sub(f32x4.splat(1.0), tail), tail, f32x4.gt(z, f32x4.splat(0.0)));
    sum = f32x4.add(sum, f32x4.mul(others, f32x4.add(below, above)));
  }
  return weight * sumLanes(sum) * exponential1(<f32>2.0 * cap);
}

/** intercept + slope scan of four of the drawn keys; those from `count` on do not matter. */
@inline
function logShares(scans: usize, indices: usize, j: i32, stride: i32, count: i32, slope: f32, intercept: f32): v128 {
  const last = count - 1;
  let x = f32x4.splat(scanAt(scans, indices, j));
  x = f32x4.replace_lane(x, 1, scanAt(scans, indices, min(last, j + stride)));
  x = f32x4.replace_lane(x, 2, scanAt(scans, indices, min(last, j + 2 * stride)));
  x = f32x4.replace_lane(x, 3, scanAt(scans, indices, min(last, j + 3 * stride)));
  return f32x4.add(f32x4.splat(intercept), f32x4.mul(f32x4.splat(slope), x));
}

/** (1 - pi) / pi of four of the drawn keys; 0 from `count` on. */
@inline
function othersOf(logProbabilities: usize, j: i32, stride: i32, count: i32): v128 {
  let logs = f32x4.splat(0.0);
  logs = f32x4.replace_lane(logs, 0, load<f32>(logProbabilities + (<usize>j << 2)));
  if (j + stride < count) logs = f32x4.replace_lane(logs, 1, load<f32>(logProbabilities + (<usize>(j + stride) << 2)));
  if (j + 2 * stride < count)
    logs = f32x4.replace_lane(logs, 2, load<f32>(logProbabilities + (<usize>(j + 2 * stride) << 2)));
  if (j + 3 * stride < count)
    logs = f32x4.replace_lane(logs, 3, load<f32>(logProbabilities + (<usize>(j + 3 * stride) << 2)));
  if (!v128.any_true(logs)) return logs;
  const one = f32x4.splat(1.0);
  return f32x4.sub(f32x4.div(one, exponential(logs)), one);
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
