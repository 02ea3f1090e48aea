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
 * ln x of four normal floats above 0, to 1.2e-5: the exponent, and for the mantissa a polynomial that meets ln at six
 * Chebyshev nodes.
 */
@inline
function logarithm(x: v128): v128 {
  const one = i32x4.splat(0x3f800000);
  const f = f32x4.sub(v128.or(v128.and(x, i32x4.splat(0x007fffff)), one), one);
  const exponent = f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.sub(x, one), 23));
  let p = f32x4.add(f32x4.mul(f32x4.splat(<f32>2.980876524e-2), f), f32x4.splat(<f32>-1.299571977e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>2.838231831e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>-4.896990903e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>9.991664010e-1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(<f32>1.14470976e-5));
  return f32x4.add(p, f32x4.mul(exponent, f32x4.splat(<f32>0.69314718056)));
}

/** Bins of 1/16 from -64 to 64, and one for what lies above. Before them lie 16 bytes for what lies below. */
const BINS: i32 = 2048;
const BINS_BYTES: usize = ((<usize>BINS + 1) * 4 + 31) & ~15;

/** See `CodeKernels.sampleKeys`. `scratch` holds the histogram and the 16 patterns of `storePatterns`. */
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
  let drawn = min(sinks, keptFrom);
  for (let j = 0; j < drawn; j++) store<i32>(indices + (<usize>j << 2), j);
  memory.fill(logProbabilities, 0, <usize>drawn << 2);
  const room = most - drawn - (n - keptFrom);
  let t: f32 = Infinity;
  if (room > 0) {
    const from = <usize>drawn << 2;
    const turnBits = turn * 0xc13fa9a9;
    const histogram = scratch + 16;
    const patterns = scratch + BINS_BYTES;
    storePatterns(patterns);
    // What the list of candidates holds lies behind what is read of it: it makes room for the drawn keys in place.
    const candidates = indices + from;
    const priorities = logProbabilities + from;
    let floor = likelyFloor(pooled, drawn, keptFrom, room, turnBits, histogram);
    let count = listCandidates(pooled, drawn, keptFrom, floor, turnBits, candidates, patterns);
    let bin = thresholdBin(pooled, candidates, count, room, floor, turnBits, priorities, histogram);
    if (bin == floor && floor > 0) {
      // There is room for more keys than was thought.
      floor = 0;
      count = listCandidates(pooled, drawn, keptFrom, floor, turnBits, candidates, patterns);
      bin = thresholdBin(pooled, candidates, count, room, floor, turnBits, priorities, histogram);
    }
    if (bin <= BINS) t = edgeOf(bin);
    drawn += takeCandidates(pooled, t, candidates, priorities, count);
  }
  store<f32>(threshold, t);
  for (let j = keptFrom; j < n; j++) {
    store<i32>(indices + (<usize>drawn << 2), j);
    store<f32>(logProbabilities + (<usize>drawn << 2), 0.0);
    drawn++;
  }
  return drawn;
}

/**
 * Moves the candidates that reach t to the front of their list, and puts ln pi in the place of their priorities. Returns
 * how many there are. Minima of one float are branches; of four they are one instruction.
 */
@inline
function takeCandidates(pooled: usize, t: f32, candidates: usize, priorities: usize, count: i32): i32 {
  const threshold = f32x4.splat(t);
  const zero = f32x4.splat(0.0);
  let taken: usize = 0;
  for (let i: usize = 0; i < <usize>count << 2; i += 4) {
    const key = load<i32>(candidates + i);
    const reaches = load<f32>(priorities + i) >= t;
    const share = v128.load32_splat(pooled + (<usize>key << 2));
    store<i32>(candidates + taken, key);
    v128.store_lane<f32>(priorities + taken, f32x4.pmin(f32x4.sub(share, threshold), zero), 0);
    taken += <usize>reaches << 2;
  }
  return <i32>(taken >> 2);
}

/** The least priority that is counted in a bin. */
@inline
function edgeOf(bin: i32): f32 {
  return <f32>(bin - (BINS >> 1)) / 16;
}

/** 2^24 u of four keys, less a half, as whole numbers. */
@inline
function sampleBits(keys: v128, turnBits: i32): v128 {
  const bits = i32x4.mul(i32x4.add(keys, i32x4.splat(1)), i32x4.splat(0x9e3779b1));
  return i32x4.shr_u(i32x4.add(bits, i32x4.splat(turnBits)), 8);
}

/** g - ln u of four keys. */
@inline
function priorityOf(shares: v128, keys: v128, turnBits: i32): v128 {
  // 24 bits are exact in float32, and signed numbers are widened by one instruction.
  const u = f32x4.add(f32x4.convert_i32x4_s(sampleBits(keys, turnBits)), f32x4.splat(0.5));
  return f32x4.add(f32x4.sub(shares, logarithm(u)), f32x4.splat(<f32>16.63553233344)); // 24 ln 2
}

/**
 * Counts four keys in the bins of their priorities; what does not reach the bin `least` is counted in the one below it,
 * since a branch would be guessed wrong often.
 */
@inline
function countFour(histogram: usize, priorities: v128, least: i32): void {
  const steps = f32x4.pmin(f32x4.mul(priorities, f32x4.splat(16.0)), f32x4.splat(<f32>(BINS >> 1)));
  const kept = f32x4.floor(f32x4.pmax(steps, f32x4.splat(<f32>(least - 1 - (BINS >> 1)))));
  // Whole numbers lie at the lower end of a float when 1.5 * 2^23 is added.
  const bins = i32x4.sub(f32x4.add(kept, f32x4.splat(12582912.0)), i32x4.splat(0x4b400000 - (BINS >> 1)));
  increment(histogram, i32x4.extract_lane(bins, 0));
  increment(histogram, i32x4.extract_lane(bins, 1));
  increment(histogram, i32x4.extract_lane(bins, 2));
  increment(histogram, i32x4.extract_lane(bins, 3));
}

@inline
function increment(histogram: usize, bin: i32): void {
  const at = histogram + (<usize>bin << 2);
  store<i32>(at, load<i32>(at) + 1);
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

/** One group of four keys in so many is looked at for a guess. */
const GUESS_GROUPS: i32 = 16;

/** A bin that a little more keys than there is room for are likely to reach, by a look at a sixteenth of them. */
@inline
function likelyFloor(pooled: usize, from: i32, to: i32, room: i32, turnBits: i32, histogram: usize): i32 {
  if (to - from < 1024) return 0;
  memory.fill(histogram - 16, 0, BINS_BYTES);
  for (let j = from; j + 4 <= to; j += 4 * GUESS_GROUPS) {
    const keys = i32x4.add(i32x4.splat(j), i32x4(0, 1, 2, 3));
    countFour(histogram, priorityOf(v128.load(pooled + (<usize>j << 2)), keys, turnBits), 0);
  }
  const share = room / GUESS_GROUPS;
  // Its spread is about the root of it.
  const bin = lowestBin(histogram, share + (share >> 3) + <i32>sqrt<f32>(<f32>share) + 4, 0);
  return max(0, bin - 1);
}

/** For each set of four lanes, bytes that bring them together by a swizzle: (16, 16) of uint8. */
@inline
function storePatterns(patterns: usize): void {
  for (let set = 0; set < 16; set++) {
    let at = patterns + <usize>(set << 4);
    for (let lane = 0; lane < 4; lane++) {
      if (!((set >> lane) & 1)) continue;
      store<u32>(at, 0x03020100 + lane * 0x04040404);
      at += 4;
    }
    while (at & 15) {
      store<u32>(at, 0);
      at += 4;
    }
  }
}

/**
 * Lists the keys of [from, to) that reach the bin `floor`, and some that nearly do: ln x is taken for its lower bound
 * by a straight line between powers of two, which is what the bits of a float are. Returns how many there are.
 */
@inline
function listCandidates(
  pooled: usize,
  from: i32,
  to: i32,
  floor: i32,
  turnBits: i32,
  candidates: usize,
  patterns: usize,
): i32 {
  // -ln u is at most (24 + 127) ln 2 less the bits of 2^24 u, by 2^-23 ln 2. Roundings are far below .001.
  const least = f32x4.splat(edgeOf(floor) - <f32>104.66522426 - <f32>0.001);
  const perBit = f32x4.splat(<f32>8.262958294867817e-8);
  const next = i32x4.splat(0x9e3779b1 * 4);
  const four = i32x4.splat(4);
  let keys = i32x4.add(i32x4.splat(from), i32x4(0, 1, 2, 3));
  let bits = i32x4.add(i32x4.mul(i32x4.add(keys, i32x4.splat(1)), i32x4.splat(0x9e3779b1)), i32x4.splat(turnBits));
  let target = candidates;
  let j = from;
  for (; j + 4 <= to; j += 4) {
    const u = f32x4.convert_i32x4_s(i32x4.shr_u(bits, 8));
    const bound = f32x4.sub(v128.load(pooled + (<usize>j << 2)), f32x4.mul(f32x4.convert_i32x4_s(u), perBit));
    const set = i32x4.bitmask(f32x4.ge(bound, least));
    v128.store(target, i8x16.swizzle(keys, v128.load(patterns + <usize>(set << 4))));
    target += <usize>popcnt(set) << 2;
    bits = i32x4.add(bits, next);
    keys = i32x4.add(keys, four);
  }
  // The last few, which are no group of four, need not be filtered.
  for (; j < to; j++) {
    store<i32>(target, j);
    target += 4;
  }
  return <i32>((target - candidates) >> 2);
}

/**
 * Writes the priorities of the candidates, and gives the lowest bin, not below `floor`, down to which there is room for
 * all of them.
 */
@inline
function thresholdBin(
  pooled: usize,
  candidates: usize,
  listed: i32,
  room: i32,
  floor: i32,
  turnBits: i32,
  priorities: usize,
  histogram: usize,
): i32 {
  memory.fill(histogram - 16, 0, BINS_BYTES);
  let i: usize = 0;
  for (const whole = <usize>(listed & ~3) << 2; i < whole; i += 16) {
    const keys = v128.load(candidates + i);
    let shares = v128.load32_splat(pooled + (<usize>i32x4.extract_lane(keys, 0) << 2));
    shares = v128.load_lane<f32>(pooled + (<usize>i32x4.extract_lane(keys, 1) << 2), shares, 1);
    shares = v128.load_lane<f32>(pooled + (<usize>i32x4.extract_lane(keys, 2) << 2), shares, 2);
    shares = v128.load_lane<f32>(pooled + (<usize>i32x4.extract_lane(keys, 3) << 2), shares, 3);
    const priority = priorityOf(shares, keys, turnBits);
    v128.store(priorities + i, priority);
    countFour(histogram, priority, floor);
  }
  for (; i < <usize>listed << 2; i += 4) {
    const key = load<i32>(candidates + i);
    const priority = priorityOf(v128.load32_splat(pooled + (<usize>key << 2)), i32x4.splat(key), turnBits);
    v128.store_lane<f32>(priorities + i, priority, 0);
    // The other three lanes count as nothing.
    countFour(histogram, v128.bitselect(priority, f32x4.splat(-Infinity), i32x4(-1, 0, 0, 0)), floor);
  }
  return lowestBin(histogram, room, floor);
}
