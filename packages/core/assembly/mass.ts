/**
 * Which keys of a group's rows have to be read so that what stays unread has at most a share of the softmax, by upper
 * bounds on all scores. A histogram of the bounds of each row says how much any threshold leaves unread: every key counts
 * with the upper end of its bin. That takes one pass of a few instructions a key, without an exponential.
 */
import { exponential, maxLanes, sumLanes } from './exponential';
import { sumInts } from './lanes';
import { BOUND_BINS, BOUND_BINS_PER_NAT, BOUNDED_ROW_NUMBERS } from './generated';

/** Bins whose weights are added up together, a multiple of 4. */
const BLOCK_BINS: i32 = 64;
/** Added to a number of bins below 2^11, it rounds that to 10 binary places: a whole part and a fraction in the low bits. */
const BIN_FRACTION: f32 = 12288.0;
/**
 * Room for what is rounded: weights and sums of 64 of them in float32, and the bins themselves, in which a difference of
 * bounds may be off by 2^-12 of a bin, and is rounded to 2^-10 of one.
 */
const MASS_SLACK: f64 = 1.00003;

// Numbers of a row.
const MAX: usize = 0;
const THRESHOLD: usize = 4;
const LOG_READ: usize = 8;
const UNREAD: usize = 12;
const KEYS: usize = 16;
const PREVIOUS: usize = 20;

/** See `QuantizedKernels.countBounds`. */
export function countBounds(upper: usize, stride: i32, rows: i32, n: i32, histograms: usize, numbers: usize): void {
  for (let r = 0; r < rows; r++) {
    const row = upper + (<usize>(r * stride) << 2);
    const histogram = histograms + (<usize>(r * BOUND_BINS) << 2);
    const rowNumbers = numbers + (<usize>(r * BOUNDED_ROW_NUMBERS) << 2);
    const maxBound = maxOf(row, n);
    memory.fill(histogram, 0, BOUND_BINS << 2);
    store<f32>(rowNumbers + MAX, maxBound);
    store<f32>(rowNumbers + THRESHOLD, Infinity);
    store<f32>(rowNumbers + LOG_READ, -Infinity);
    store<f32>(rowNumbers + UNREAD, Infinity);
    store<i32>(rowNumbers + KEYS, 0);
    store<f32>(rowNumbers + PREVIOUS, Infinity);
    if (abs(maxBound) < Infinity) countRow(row, n, maxBound, histogram);
  }
}

@inline
function maxOf(row: usize, n: i32): f32 {
  const whole = n & ~3;
  let best = f32x4.splat(-Infinity);
  for (let i = 0; i < whole; i += 4) best = f32x4.pmax(best, v128.load(row + (<usize>i << 2)));
  let maxBound = maxLanes(best);
  for (let i = whole; i < n; i++) maxBound = max(maxBound, load<f32>(row + (<usize>i << 2)));
  return maxBound;
}

/** Counts the keys of a row by how far their bounds lie below the largest. */
@inline
function countRow(row: usize, n: i32, maxBound: f32, histogram: usize): void {
  const top = f32x4.splat(maxBound);
  const perNat = f32x4.splat(<f32>BOUND_BINS_PER_NAT);
  const last = f32x4.splat(<f32>(BOUND_BINS - 1));
  const fraction = f32x4.splat(BIN_FRACTION);
  const bytes = i32x4.splat((BOUND_BINS - 1) << 2);
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) {
    const distance = f32x4.mul(f32x4.sub(top, v128.load(row + (<usize>i << 2))), perNat);
    // What is not a number goes to any bin: no threshold leaves it out.
    const bins = v128.and(i32x4.shr_u(f32x4.add(f32x4.pmin(distance, last), fraction), 8), bytes);
    increment(histogram + <usize>i32x4.extract_lane(bins, 0));
    increment(histogram + <usize>i32x4.extract_lane(bins, 1));
    increment(histogram + <usize>i32x4.extract_lane(bins, 2));
    increment(histogram + <usize>i32x4.extract_lane(bins, 3));
  }
  for (let i = whole; i < n; i++) {
    const distance = (maxBound - load<f32>(row + (<usize>i << 2))) * <f32>BOUND_BINS_PER_NAT;
    const bin = distance >= <f32>(BOUND_BINS - 1) ? BOUND_BINS - 1 : distance > 0 ? <i32>distance : 0;
    increment(histogram + (<usize>bin << 2));
  }
}

@inline
function increment(address: usize): void {
  store<i32>(address, load<i32>(address) + 1);
}

/** See `QuantizedKernels.listForMass`. `scratch` is room for BLOCK_BINS + 2 * BOUND_BINS / BLOCK_BINS numbers. */
export function listForMass(
  upper: usize,
  stride: i32,
  rows: i32,
  n: i32,
  histograms: usize,
  numbers: usize,
  share: f32,
  maxKeys: i32,
  indices: usize,
  masks: usize,
  scratch: usize,
): i32 {
  const weights = scratch;
  for (let i: usize = 0; i < <usize>BLOCK_BINS; i += 4) {
    const first = f32x4(<f32>i, <f32>i + 1, <f32>i + 2, <f32>i + 3);
    v128.store(weights + (i << 2), exponential(f32x4.mul(first, f32x4.splat(<f32>-1.0 / <f32>BOUND_BINS_PER_NAT))));
  }
  let keys: i64 = 0;
  let grows = false;
  for (let r = 0; r < rows; r++) {
    const rowNumbers = numbers + (<usize>(r * BOUNDED_ROW_NUMBERS) << 2);
    if (!(abs(load<f32>(rowNumbers + MAX)) < Infinity)) return -1;
    const histogram = histograms + (<usize>(r * BOUND_BINS) << 2);
    keys += lowerThreshold(histogram, rowNumbers, share, weights, weights + (<usize>BLOCK_BINS << 2));
    if (load<f32>(rowNumbers + THRESHOLD) < load<f32>(rowNumbers + PREVIOUS)) grows = true;
  }
  if (keys > maxKeys) return -1;
  if (!grows) return 0;
  return rows == 3 ? listThree(upper, stride, n, numbers, indices, masks) : list(upper, stride, rows, n, numbers, indices, masks);
}

/** Lowers the threshold of a row as far as its share asks for, and says what it leaves unread. Returns its keys. */
function lowerThreshold(histogram: usize, numbers: usize, share: f32, weights: usize, blocks: usize): i32 {
  const blockCount = BOUND_BINS / BLOCK_BINS;
  let total: f64 = 0;
  for (let block = 0; block < blockCount; block++) {
    let sum = f32x4.splat(0.0);
    const counts = histogram + (<usize>(block * BLOCK_BINS) << 2);
    for (let i: usize = 0; i < <usize>BLOCK_BINS << 2; i += 16) {
      sum = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_s(v128.load(counts + i)), v128.load(weights + i)));
    }
    const mass = <f64>sumLanes(sum) * blockWeight(block);
    store<f64>(blocks + (<usize>block << 3), mass);
    total += mass;
  }
  const maxBound = load<f32>(numbers + MAX);
  const logRead = load<f32>(numbers + LOG_READ);
  // Before anything was read, what is read counts by its bounds: then too few keys are listed, and the rest next time.
  const odds = <f64>share / (1 - <f64>share);
  const allowed =
    logRead == -Infinity ? <f64>share * total : odds * exponential64(<f64>logRead - <f64>maxBound) * <f64>0.99999;

  // Blocks and then bins stay unread, from the last one up, as long as the sum of their weights is allowed.
  let unread: f64 = 0;
  let block = blockCount - 1;
  for (; block >= 0; block--) {
    const sum = unread + load<f64>(blocks + (<usize>block << 3)) * MASS_SLACK;
    if (sum > allowed) break;
    unread = sum;
  }
  let end = (block + 1) * BLOCK_BINS;
  if (block >= 0) {
    const scale = blockWeight(block) * MASS_SLACK;
    for (; end > block * BLOCK_BINS; end--) {
      const bin = <usize>(end - 1) << 2;
      const weight = <f64>load<f32>(weights + (<usize>((end - 1) & (BLOCK_BINS - 1)) << 2)) * scale;
      const sum = unread + <f64>load<i32>(histogram + bin) * weight;
      if (sum > allowed) break;
      unread = sum;
    }
  }
  // Every key of the bins before `end` is at least here: what is borderline is read.
  const margin = (abs(maxBound) + <f32>(BOUND_BINS / BOUND_BINS_PER_NAT)) * <f32>2.384185791015625e-7;
  const threshold = maxBound - <f32>end / <f32>BOUND_BINS_PER_NAT - margin;
  const previous = load<f32>(numbers + THRESHOLD);
  store<f32>(numbers + PREVIOUS, previous);
  if (!(threshold < previous)) return load<i32>(numbers + KEYS);
  const keys = sumOf(histogram, end);
  store<f32>(numbers + THRESHOLD, end == BOUND_BINS ? -Infinity : threshold);
  store<f32>(numbers + UNREAD, <f32>(unread * 1.0000002));
  return keys;
}

/** Keys of the first `bins` bins. */
@inline
function sumOf(histogram: usize, bins: i32): i32 {
  const whole = bins & ~3;
  let sums = i32x4.splat(0);
  for (let i = 0; i < whole; i += 4) sums = i32x4.add(sums, v128.load(histogram + (<usize>i << 2)));
  let sum = sumInts(sums);
  for (let i = whole; i < bins; i++) sum += load<i32>(histogram + (<usize>i << 2));
  return sum;
}

/** Lists the keys of any row between its threshold and the previous one, and counts them. Returns how many they are. */
@inline
function list(upper: usize, stride: i32, rows: i32, n: i32, numbers: usize, indices: usize, masks: usize): i32 {
  let count = 0;
  for (let i = 0; i < n; i += 4) {
    let skipped = i32x4.splat(-1);
    for (let r = 0; r < rows; r++) {
      const rowNumbers = numbers + (<usize>(r * BOUNDED_ROW_NUMBERS) << 2);
      const bounds = v128.load(upper + (<usize>(r * stride + i) << 2));
      const threshold = v128.load32_splat(rowNumbers, THRESHOLD);
      skipped = v128.and(skipped, isSkipped(bounds, threshold, v128.load32_splat(rowNumbers, PREVIOUS)));
    }
    if (i32x4.all_true(skipped)) continue;
    count = listFour(~i32x4.bitmask(skipped), i, upper, stride, rows, n, numbers, indices, masks, count);
  }
  return count;
}

/** `list` for three rows, whose thresholds stay in registers. */
@inline
function listThree(upper: usize, stride: i32, n: i32, numbers: usize, indices: usize, masks: usize): i32 {
  const next: usize = BOUNDED_ROW_NUMBERS << 2;
  const rowBytes = <usize>stride << 2;
  const threshold0 = v128.load32_splat(numbers, THRESHOLD);
  const threshold1 = v128.load32_splat(numbers + next, THRESHOLD);
  const threshold2 = v128.load32_splat(numbers + 2 * next, THRESHOLD);
  const previous0 = v128.load32_splat(numbers, PREVIOUS);
  const previous1 = v128.load32_splat(numbers + next, PREVIOUS);
  const previous2 = v128.load32_splat(numbers + 2 * next, PREVIOUS);
  let keys0 = 0;
  let keys1 = 0;
  let keys2 = 0;
  let count = 0;
  for (let i = 0; i < n; i += 4) {
    const at = upper + (<usize>i << 2);
    const skipped0 = isSkipped(v128.load(at), threshold0, previous0);
    const skipped1 = isSkipped(v128.load(at + rowBytes), threshold1, previous1);
    const skipped2 = isSkipped(v128.load(at + 2 * rowBytes), threshold2, previous2);
    if (i32x4.all_true(v128.and(v128.and(skipped0, skipped1), skipped2))) continue;
    // Behind the last key there are bounds of nothing.
    const live = (1 << min(n - i, 4)) - 1;
    const bits0 = ~i32x4.bitmask(skipped0) & live;
    const bits1 = ~i32x4.bitmask(skipped1) & live;
    const bits2 = ~i32x4.bitmask(skipped2) & live;
    keys0 += popcnt(bits0);
    keys1 += popcnt(bits1);
    keys2 += popcnt(bits2);
    let rest = bits0 | bits1 | bits2;
    while (rest != 0) {
      const lane = ctz(rest);
      rest &= rest - 1;
      store<i32>(indices + (<usize>count << 2), i + lane);
      const mask = ((bits0 >> lane) & 1) | (((bits1 >> lane) & 1) << 1) | (((bits2 >> lane) & 1) << 2);
      store<u32>(masks + (<usize>count << 2), mask);
      count++;
    }
  }
  addKeys(numbers, keys0);
  addKeys(numbers + next, keys1);
  addKeys(numbers + 2 * next, keys2);
  return count;
}

@inline
function addKeys(numbers: usize, keys: i32): void {
  store<i32>(numbers + KEYS, load<i32>(numbers + KEYS) + keys);
}

/** Which bounds are below a threshold, or were listed before. Not so what is not a number. */
@inline
function isSkipped(bounds: v128, threshold: v128, previous: v128): v128 {
  return v128.or(f32x4.lt(bounds, threshold), f32x4.ge(bounds, previous));
}

/** Lists those of four keys from position `first` on whose bit is set. Returns the new length of the list. */
function listFour(
  bits: i32,
  first: i32,
  upper: usize,
  stride: i32,
  rows: i32,
  n: i32,
  numbers: usize,
  indices: usize,
  masks: usize,
  count: i32,
): i32 {
  // Behind the last key there are bounds of nothing.
  let rest = bits & ((1 << min(n - first, 4)) - 1);
  while (rest != 0) {
    const position = first + ctz(rest);
    rest &= rest - 1;
    let mask: u32 = 0;
    for (let r = 0; r < rows; r++) {
      const rowNumbers = numbers + (<usize>(r * BOUNDED_ROW_NUMBERS) << 2);
      const bound = load<f32>(upper + (<usize>(r * stride + position) << 2));
      if (bound < load<f32>(rowNumbers + THRESHOLD) || bound >= load<f32>(rowNumbers + PREVIOUS)) continue;
      mask |= 1 << r;
      addKeys(rowNumbers, 1);
    }
    store<i32>(indices + (<usize>count << 2), position);
    store<u32>(masks + (<usize>count << 2), mask);
    count++;
  }
  return count;
}

/** e^(-x) of the first bin of a block. */
@inline
function blockWeight(block: i32): f64 {
  return exponential64(-<f64>(block * BLOCK_BINS) / <f64>BOUND_BINS_PER_NAT);
}

/** e^x to 1e-9 for x from -700 to 700; at the ends of that for what is beyond. */
function exponential64(x: f64): f64 {
  const bounded = min(max(x, -700.0), 700.0);
  const m = nearest(bounded * 1.4426950408889634);
  const r = (bounded - m * 0.6931471803691238) - m * 1.9082149292705877e-10;
  let p: f64 = 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * reinterpret<f64>(<u64>(1023 + <i64>m) << 52);
}
