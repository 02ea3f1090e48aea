/** Sums over scores alone, for the share of the softmax that was not read. */
import { exponential, exponential1, maxLanes, sumLanes } from './exponential';

/** Takes `n` scores into `statistics` (2): the largest, and the sum of e^(score - largest). */
export function absorbMass(scores: usize, n: i32, statistics: usize): void {
  const whole = n & ~3;
  const before = load<f32>(statistics);
  let best = f32x4.splat(before);
  for (let i = 0; i < whole; i += 4) best = f32x4.pmax(best, v128.load(scores + (<usize>i << 2)));
  let largest = maxLanes(best);
  for (let i = whole; i < n; i++) largest = max(largest, load<f32>(scores + (<usize>i << 2)));
  if (largest == -Infinity) return;
  const shift = f32x4.splat(largest);
  // Sums of 64 scores each, added up in float64: a plain float32 sum would lose a small tail.
  let sum = <f64>(load<f32>(statistics, 4) * (before == largest ? <f32>1.0 : exponential1(before - largest)));
  for (let from = 0; from < whole; from += 64) {
    const to = min(from + 64, whole);
    let part = f32x4.splat(0.0);
    for (let i = from; i < to; i += 4) {
      part = f32x4.add(part, exponential(f32x4.sub(v128.load(scores + (<usize>i << 2)), shift)));
    }
    sum += <f64>sumLanes(part);
  }
  for (let i = whole; i < n; i++) sum += <f64>exponential1(load<f32>(scores + (<usize>i << 2)) - largest);
  store<f32>(statistics, largest);
  store<f32>(statistics, <f32>sum, 4);
}

/**
 * e^x to 4 % for four floats of -80 to 0 (Schraudolph 1999): x / ln 2 + 127 is put where float32 keeps its exponent,
 * and its fraction stands for a mantissa that grows in a straight line. Adding 1.5 * 2^15 leaves 8 bits of the fraction
 * at the lower end of the float, from where one shift moves them into their place. The offset centres the error.
 */
@inline
function roughExponential(x: v128): v128 {
  const exponent = f32x4.add(f32x4.mul(x, f32x4.splat(<f32>1.4426950408889634)), f32x4.splat(<f32>49278.957));
  return i32x4.shl(exponent, 15);
}

/** The largest of n scores. */
@inline
function largestOf(scores: usize, n: i32): f32 {
  const whole = n & ~7;
  let a = f32x4.splat(-Infinity);
  let b = a;
  for (let i = 0; i < whole; i += 8) {
    a = f32x4.pmax(a, v128.load(scores + (<usize>i << 2)));
    b = f32x4.pmax(b, v128.load(scores + (<usize>i << 2), 16));
  }
  let largest = maxLanes(f32x4.pmax(a, b));
  for (let i = whole; i < n; i++) largest = max(largest, load<f32>(scores + (<usize>i << 2)));
  return largest;
}

/** See `CodeKernels.estimateMass`. */
export function estimateMass(scores: usize, n: i32, statistics: usize): void {
  const largest = largestOf(scores, n);
  store<f32>(statistics, largest);
  store<f32>(statistics, 0.0, 4);
  if (largest == -Infinity) return;
  const whole = n & ~7;
  const shift = f32x4.splat(largest);
  const least = f32x4.splat(-80.0);
  let sum: f64 = 0;
  for (let from = 0; from < whole; from += 512) {
    const end = scores + (<usize>min(from + 512, whole) << 2);
    let a = f32x4.splat(0.0);
    let b = a;
    for (let at = scores + (<usize>from << 2); at < end; at += 32) {
      a = f32x4.add(a, roughExponential(f32x4.pmax(f32x4.sub(v128.load(at), shift), least)));
      b = f32x4.add(b, roughExponential(f32x4.pmax(f32x4.sub(v128.load(at, 16), shift), least)));
    }
    sum += <f64>sumLanes(f32x4.add(a, b));
  }
  for (let i = whole; i < n; i++) sum += <f64>exponential1(load<f32>(scores + (<usize>i << 2)) - largest);
  store<f32>(statistics, <f32>sum, 4);
}
