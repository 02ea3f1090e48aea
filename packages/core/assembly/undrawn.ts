/** What the keys that a sample did not draw may weigh: `src/kernels/undrawn.ts` specifies it. */
import { exponential, sumLanes } from './exponential';
import { UNDRAWN_SAMPLE_KEYS } from './generated';
import { scanUnitsPerNat } from './scan-parts';

const MIN_FIT_KEYS: f64 = 8;
const MAX_SLOPE: f64 = 2;
const MIN_SCAN_VARIANCE: f64 = 1e-6;

/** See `undrawnStride`. */
@inline
export function undrawnStride(count: i32): i32 {
  return max(1, count / UNDRAWN_SAMPLE_KEYS);
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
  const stride = undrawnStride(count);
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
  fit: usize,
  logTotal: f32,
): f32 {
  const deviation = load<f32>(fit, 8);
  if (deviation < 0) return 0;
  const stride = undrawnStride(count);
  const slope = f32x4.splat(<f32>2.0 * load<f32>(fit, 4) / scanUnitsPerNat(fractionBits));
  const intercept = f32x4.splat(<f32>2.0 * (load<f32>(fit) - logTotal));
  const noise = <f32>2.0 * deviation;
  let sum = f32x4.splat(0.0);
  for (let j = stride >> 1; j < count; j += 4 * stride) {
    let x = f32x4.splat(0.0);
    // Of a probability of 1, which nothing stands behind.
    let logs = x;
    x = f32x4.replace_lane(x, 0, scanAt(scans, indices, j));
    logs = f32x4.replace_lane(logs, 0, load<f32>(logProbabilities + (<usize>j << 2)));
    if (j + stride < count) {
      x = f32x4.replace_lane(x, 1, scanAt(scans, indices, j + stride));
      logs = f32x4.replace_lane(logs, 1, load<f32>(logProbabilities + (<usize>(j + stride) << 2)));
    }
    if (j + 2 * stride < count) {
      x = f32x4.replace_lane(x, 2, scanAt(scans, indices, j + 2 * stride));
      logs = f32x4.replace_lane(logs, 2, load<f32>(logProbabilities + (<usize>(j + 2 * stride) << 2)));
    }
    if (j + 3 * stride < count) {
      x = f32x4.replace_lane(x, 3, scanAt(scans, indices, j + 3 * stride));
      logs = f32x4.replace_lane(logs, 3, load<f32>(logProbabilities + (<usize>(j + 3 * stride) << 2)));
    }
    const middle = f32x4.add(intercept, f32x4.mul(slope, x));
    let squares = f32x4.mul(squareAt(middle, 0), f32x4.splat(<f32>0.457142857142857));
    squares = addPair(squares, middle, <f32>1.154405394739968 * noise, <f32>0.2401231786050127);
    squares = addPair(squares, middle, <f32>2.366759410734541 * noise, <f32>0.0307571239675865);
    squares = addPair(squares, middle, <f32>3.750439717725742 * noise, <f32>0.000548268855972218);
    const one = f32x4.splat(1.0);
    const others = f32x4.sub(f32x4.div(one, exponential(logs)), one);
    sum = f32x4.add(sum, f32x4.mul(squares, others));
  }
  return sumLanes(sum) * <f32>stride;
}

@inline
function scanAt(scans: usize, indices: usize, j: i32): f32 {
  return <f32>load<i16>(scans + (<usize>load<i32>(indices + (<usize>j << 2)) << 1));
}

/** e^x, at most 1, where x is off by `noise`. */
@inline
function squareAt(x: v128, noise: f32): v128 {
  return exponential(f32x4.pmin(f32x4.add(x, f32x4.splat(noise)), f32x4.splat(0.0)));
}

@inline
function addPair(squares: v128, middle: v128, noise: f32, weight: f32): v128 {
  const both = f32x4.add(squareAt(middle, noise), squareAt(middle, -noise));
  return f32x4.add(squares, f32x4.mul(both, f32x4.splat(weight)));
}
