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
  // Pseudo-maxima are one instruction; there is no NaN among the scores.
  for (let j: usize = 0; j < <usize>whole << 2; j += 16) {
    let most = f32x4.splat(-Infinity);
    for (let r = 0; r < rows; r++) {
      const offset = v128.load32_splat(offsets + (<usize>r << 2));
      most = f32x4.pmax(most, f32x4.sub(v128.load(scores + <usize>r * rowBytes + j), offset));
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
 * ln x of four normal floats above 0, less LOGARITHM_OFFSET, to 1.2e-5: the exponent, and for the mantissa a polynomial
 * that meets ln at six Chebyshev nodes. Its constants come as arguments: read from memory they stay in registers, where
 * constants in the code are made anew at every use.
 */
@inline
function logarithm(
  x: v128,
  one: v128,
  mantissa: v128,
  c5: v128,
  c4: v128,
  c3: v128,
  c2: v128,
  c1: v128,
  ln2: v128,
): v128 {
  const f = f32x4.sub(v128.or(v128.and(x, mantissa), one), one);
  const exponent = f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.sub(x, one), 23));
  let p = f32x4.add(f32x4.mul(c5, f), c4);
  p = f32x4.add(f32x4.mul(p, f), c3);
  p = f32x4.add(f32x4.mul(p, f), c2);
  p = f32x4.add(f32x4.mul(p, f), c1);
  return f32x4.add(f32x4.mul(p, f), f32x4.mul(exponent, ln2));
}

const LOGARITHM_OFFSET: f32 = 1.14470976e-5;

/** Puts a number where it can be read back as a constant of four lanes. */
@inline
function constant(at: usize, value: f32): v128 {
  store<f32>(at, value);
  return v128.load32_splat(at);
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
  const certain = min(sinks, keptFrom) + n - keptFrom;
  // Priorities lie where the probabilities will: what is written is behind what is read.
  const priorities = logProbabilities;
  const t: f32 = certain >= most ? <f32>Infinity : storePriorities(pooled, sinks, keptFrom, most - certain, turn, priorities, scratch);
  for (let j = 0; j < min(sinks, keptFrom); j++) store<f32>(priorities + (<usize>j << 2), Infinity);
  for (let j = keptFrom; j < n; j++) store<f32>(priorities + (<usize>j << 2), Infinity);
  if (certain >= most) {
    for (let j = sinks; j < keptFrom; j++) store<f32>(priorities + (<usize>j << 2), -Infinity);
  }
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

/** Keys between two looks at the histogram. */
const BATCH: i32 = 1024;

/**
 * Writes g - ln u of the keys from `sinks` to `keptFrom`, and gives the smallest multiple of 1/16 that at most `room` of
 * them reach. Keys are counted by their multiple; once more than `room` lie above one, no key below it can be taken any
 * more, and none is counted.
 */
@inline
function storePriorities(
  pooled: usize,
  sinks: i32,
  keptFrom: i32,
  room: i32,
  turn: i32,
  priorities: usize,
  histogram: usize,
): f32 {
  memory.fill(histogram, 0, <usize>(BINS + 1) << 2);
  const constants = histogram + (<usize>(BINS + 4) << 2);
  const c5 = constant(constants, 2.980876524e-2);
  const c4 = constant(constants + 4, -1.299571977e-1);
  const c3 = constant(constants + 8, 2.838231831e-1);
  const c2 = constant(constants + 12, -4.896990903e-1);
  const c1 = constant(constants + 16, 9.99166401e-1);
  const ln2 = constant(constants + 20, 0.69314718056);
  // Numbers u have 24 bits.
  const shift = constant(constants + 24, <f32>16.63553233344 - LOGARITHM_OFFSET);
  const half = constant(constants + 28, 0.5);
  const one = constant(constants + 32, 1.0);
  const mantissa = constant(constants + 36, reinterpret<f32>(0x007fffff));
  const next = constant(constants + 40, reinterpret<f32>(0x9e3779b1 * 4));
  let lowest = 0;
  // Groups of four begin at a multiple of four; those of the edges count only what lies inside.
  for (let batch = sinks & ~3; batch < keptFrom; batch += BATCH) {
    const end = min(batch + BATCH, keptFrom);
    let bits = i32x4.add(
      i32x4.mul(i32x4.add(i32x4.splat(batch), i32x4(1, 2, 3, 4)), i32x4.splat(0x9e3779b1)),
      i32x4.splat(turn * 0xc13fa9a9),
    );
    const floor = f32x4.splat(<f32>(lowest - (BINS >> 1)) / 16);
    for (let j = batch; j < end; j += 4) {
      const at = <usize>j << 2;
      // 24 bits are exact in float32, and signed numbers are widened by one instruction.
      const u = f32x4.add(f32x4.convert_i32x4_s(i32x4.shr_u(bits, 8)), half);
      const log = logarithm(u, one, mantissa, c5, c4, c3, c2, c1, ln2);
      const priority = f32x4.add(f32x4.sub(v128.load(pooled + at), log), shift);
      bits = i32x4.add(bits, next);
      v128.store(priorities + at, priority);
      let mask = i32x4.bitmask(f32x4.ge(priority, floor));
      while (mask != 0) {
        const key = j + ctz(mask);
        mask &= mask - 1;
        if (key >= sinks && key < end) count(histogram, load<f32>(priorities + (<usize>key << 2)));
      }
    }
    lowest = lowestBin(histogram, room, lowest);
  }
  // Of the bin that has no room, none is taken.
  const bin = lowestBin(histogram, room, 0);
  if (bin > BINS) return Infinity;
  return <f32>(bin - (BINS >> 1)) / 16;
}

/** Counts a key that reaches -64. */
@inline
function count(histogram: usize, priority: f32): void {
  const step = <i32>floor<f32>(min<f32>(priority, 65.0) * 16.0);
  const bin = histogram + (<usize>min(step + (BINS >> 1), BINS) << 2);
  store<i32>(bin, load<i32>(bin) + 1);
}

/** The lowest bin, not below `least`, down to which there is room for all keys. */
@inline
function lowestBin(histogram: usize, room: i32, least: i32): i32 {
  let bin = BINS + 1;
  while (bin > least) {
    room -= load<i32>(histogram + (<usize>(bin - 1) << 2));
    if (room < 0) break;
    bin--;
  }
  return bin;
}
