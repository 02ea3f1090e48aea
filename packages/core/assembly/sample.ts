/** The draw of a sample: shares pooled over the rows, and Poisson sampling by a threshold. */

/** See `CodeKernels.poolScores`. */
export function poolScores(
  scores: usize,
  stride: i32,
  rows: i32,
  n: i32,
  offsets: usize,
  temper: f32,
  pooled: usize,
): void {
  const whole = n & ~3;
  const rowBytes = <usize>stride << 2;
  for (let j: usize = 0; j < <usize>whole << 2; j += 16) {
    let most = f32x4.splat(-Infinity);
    for (let r = 0; r < rows; r++) {
      const offset = v128.load32_splat(offsets + (<usize>r << 2));
      most = f32x4.max(most, f32x4.sub(v128.load(scores + <usize>r * rowBytes + j), offset));
    }
    v128.store(pooled + j, f32x4.mul(most, f32x4.splat(temper)));
  }
  for (let j = <usize>whole << 2; j < <usize>n << 2; j += 4) {
    let most: f32 = -Infinity;
    for (let r = 0; r < rows; r++) {
      most = max(most, load<f32>(scores + <usize>r * rowBytes + j) - load<f32>(offsets + (<usize>r << 2)));
    }
    store<f32>(pooled + j, temper * most);
  }
}

/**
 * ln x of four normal floats, by the polynomial of the Cephes library's logf (relative error below 1e-6 where ln x is
 * not near 0).
 */
@inline
function logarithm(x: v128): v128 {
  const mantissa = v128.or(v128.and(x, i32x4.splat(0x007fffff)), i32x4.splat(0x3f800000));
  // Mantissas above the root of 2 are halved, so that they lie round 1.
  const large = f32x4.gt(mantissa, f32x4.splat(<f32>1.41421356));
  const f = f32x4.sub(
    v128.bitselect(f32x4.mul(mantissa, f32x4.splat(0.5)), mantissa, large),
    f32x4.splat(1.0),
  );
  const exponent = i32x4.sub(i32x4.sub(i32x4.shr_u(x, 23), i32x4.splat(127)), large);
  const e = f32x4.convert_i32x4_s(exponent);
  let p = f32x4.splat(<f32>7.0376836292e-2);
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>-1.151461031e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>1.167699874e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>-1.2420140846e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>1.4249322787e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>-1.6668057665e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>2.0000714765e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>-2.4999993993e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>3.3333331174e-1));
  const square = f32x4.mul(f, f);
  const tail = f32x4.sub(f32x4.mul(f32x4.mul(p, f), square), f32x4.mul(square, f32x4.splat(0.5)));
  return f32x4.add(f32x4.add(f, tail), f32x4.mul(e, f32x4.splat(<f32>0.69314718056)));
}

/** Bins of 1/16 from -64 to 64, and one for what lies above. */
const BINS: i32 = 2048;

/** See `CodeKernels.sampleKeys`. `scratch` holds the histogram. */
export function sampleKeys(
  pooled: usize,
  n: i32,
  sinks: i32,
  keptFrom: i32,
  most: i32,
  turn: i32,
  indices: usize,
  logProbabilities: usize,
  threshold: usize,
  scratch: usize,
): i32 {
  if (most >= n) {
    for (let j = 0; j < n; j++) store<i32>(indices + (<usize>j << 2), j);
    memory.fill(logProbabilities, 0, <usize>n << 2);
    store<f32>(threshold, -Infinity);
    return n;
  }
  // Priorities, infinite for the certain keys, lie where the probabilities will: what is written is behind what is read.
  const priorities = logProbabilities;
  storePriorities(pooled, n, turn, priorities, scratch);
  let certain = 0;
  for (let j = 0; j < n; j++) {
    if (j == sinks) j = max(j, keptFrom);
    if (j >= n) break;
    const bin = binOf(load<f32>(priorities + (<usize>j << 2)));
    if (bin >= 0) {
      const count = scratch + (<usize>bin << 2);
      store<i32>(count, load<i32>(count) - 1);
    }
    store<f32>(priorities + (<usize>j << 2), Infinity);
    certain++;
  }
  const t = thresholdOf(scratch, certain, most);
  store<f32>(threshold, t);

  let drawn = 0;
  for (let j = 0; j < n; j += 4) {
    const at = <usize>j << 2;
    // The last few may lie behind the keys; they are looked at one by one below.
    let mask = i32x4.bitmask(f32x4.ge(v128.load(priorities + at), f32x4.splat(t)));
    if (n - j < 4) mask &= (1 << (n - j)) - 1;
    while (mask != 0) {
      const lane = ctz(mask);
      mask &= mask - 1;
      const key = j + lane;
      const sure = key < sinks || key >= keptFrom;
      const g = load<f32>(pooled + (<usize>key << 2));
      store<i32>(indices + (<usize>drawn << 2), key);
      store<f32>(logProbabilities + (<usize>drawn << 2), sure ? <f32>0.0 : min<f32>(0.0, g - t));
      drawn++;
    }
  }
  return drawn;
}

@inline
function binOf(priority: f32): i32 {
  const step = <i32>floor<f32>(max<f32>(priority, -65.0) * 16.0);
  return step < -(BINS >> 1) ? -1 : min(step + (BINS >> 1), BINS);
}

/** g - ln u of every key, and how many keys there are in each bin. */
@inline
function storePriorities(pooled: usize, n: i32, turn: i32, priorities: usize, histogram: usize): void {
  memory.fill(histogram, 0, <usize>(BINS + 1) << 2);
  let bits = i32x4.add(
    i32x4.mul(i32x4(1, 2, 3, 4), i32x4.splat(0x9e3779b1)),
    i32x4.splat(turn * 0xc13fa9a9),
  );
  const next = i32x4.splat(0x9e3779b1 * 4);
  for (let j = 0; j < n; j += 4) {
    const at = <usize>j << 2;
    const u = f32x4.add(f32x4.convert_i32x4_u(bits), f32x4.splat(0.5));
    const priority = f32x4.add(
      f32x4.sub(v128.load(pooled + at), logarithm(u)),
      f32x4.splat(<f32>22.18070977792), // 32 ln 2
    );
    bits = i32x4.add(bits, next);
    v128.store(priorities + at, priority);
    const steps = i32x4.trunc_sat_f32x4_s(
      f32x4.floor(f32x4.mul(f32x4.max(priority, f32x4.splat(-65.0)), f32x4.splat(16.0))),
    );
    count(histogram, i32x4.extract_lane(steps, 0));
    if (j + 1 < n) count(histogram, i32x4.extract_lane(steps, 1));
    if (j + 2 < n) count(histogram, i32x4.extract_lane(steps, 2));
    if (j + 3 < n) count(histogram, i32x4.extract_lane(steps, 3));
  }
}

@inline
function count(histogram: usize, step: i32): void {
  if (step < -(BINS >> 1)) return;
  const bin = histogram + (<usize>min(step + (BINS >> 1), BINS) << 2);
  store<i32>(bin, load<i32>(bin) + 1);
}

/** The smallest multiple of 1/16 with which there is room for all that reach it. */
@inline
function thresholdOf(histogram: usize, certain: i32, most: i32): f32 {
  if (certain >= most) return Infinity;
  let room = most - certain;
  for (let bin = BINS; bin >= 0; bin--) {
    room -= load<i32>(histogram + (<usize>bin << 2));
    if (room < 0) return bin == BINS ? Infinity : <f32>(bin + 1 - (BINS >> 1)) / 16;
  }
  return -64;
}
