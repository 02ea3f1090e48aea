/**
 * The draw of a sample: Poisson sampling by a threshold on priorities, which are integers of 16 bits. The draws and the
 * logarithms of the probabilities that they give are tables, which `draw-tables.ts` has written.
 */
import { DRAW_FRACTION_BITS, DRAW_LOG_ENTRIES, DRAW_PERIOD, DRAW_STRIDE, DRAW_WRAP, KeyDraw } from './generated';
import { maxLane } from './lanes';
import { scanUnitsPerNat } from './scan-parts';

/** Bytes of the draws, behind which lie the logarithms. */
const DRAWS_BYTES: usize = (<usize>(DRAW_PERIOD + DRAW_WRAP)) << 1;

/** Bins of a histogram, one for each number; larger numbers go to the last. */
const BINS: i32 = 4096;
/** A guess has bins of 16 numbers, so that BINS of them cover int16. */
const GUESS_BIN_SHIFT: i32 = 4;
/** A guess looks at every 16th vector. */
const GUESS_STRIDE: i32 = 16;

const MIN_PRIORITY: i32 = -32768;
const UNREACHABLE: i32 = 32768;

/** See `QuantizedKernels.drawKeys`. `scratch` holds a histogram of 4,096 counts. */
export function drawKeys(draw: KeyDraw): i32 {
  const n = draw.n;
  const recentFrom = draw.recentFrom;
  const maxKeys = draw.maxKeys;
  const fractionBits = draw.fractionBits;
  const proposals = draw.proposals;
  const tables = draw.tables;
  const indices = draw.indices;
  const logProbabilities = draw.logProbabilities;
  const threshold = draw.threshold;
  const keyBlocks = draw.keyBlocks;
  const histogram = draw.scratch;
  if (maxKeys >= n) {
    for (let j = 0; j < n; j++) store<i32>(indices + (<usize>j << 2), j);
    memory.fill(logProbabilities, 0, <usize>n << 2);
    store<f32>(threshold, -Infinity);
    return n;
  }
  let drawn = min(draw.sinks, recentFrom);
  for (let j = 0; j < drawn; j++) store<i32>(indices + (<usize>j << 2), j);
  memory.fill(logProbabilities, 0, <usize>drawn << 2);
  const room = maxKeys - drawn - (n - recentFrom);
  let t = UNREACHABLE;
  if (room > 0) {
    const first = (draw.seed * DRAW_STRIDE) & (DRAW_PERIOD - 1);
    const down = DRAW_FRACTION_BITS - fractionBits;
    const candidates = indices + (<usize>drawn << 2);
    const priorities = logProbabilities + (<usize>drawn << 2);
    let floor = likelyFloor(proposals, drawn, recentFrom, room, first, down, tables, histogram);
    let count = 0;
    while (true) {
      const listed = listBlocks(proposals, drawn, recentFrom, floor, first, down, tables, keyBlocks);
      count = expandBlocks(keyBlocks, listed, proposals, first, down, tables, candidates, priorities);
      t = thresholdOf(priorities, count, room, floor, histogram);
      // The guess was too high, or far too low.
      if (t == floor && floor > MIN_PRIORITY) floor = MIN_PRIORITY;
      else if (t == floor + BINS) floor = t - 1;
      else break;
    }
    drawn += takeCandidates(proposals, t, down, tables + DRAWS_BYTES, candidates, priorities, count);
  }
  store<f32>(threshold, t == UNREACHABLE ? Infinity : <f32>t / scanUnitsPerNat(fractionBits));
  for (let j = recentFrom; j < n; j++) {
    store<i32>(indices + (<usize>drawn << 2), j);
    store<f32>(logProbabilities + (<usize>drawn << 2), 0.0);
    drawn++;
  }
  return drawn;
}

/** Priorities of 8 keys from key j on. */
@inline
function prioritiesFrom(proposals: usize, j: i32, first: i32, down: i32, tables: usize): v128 {
  const numbers = v128.load(tables + (<usize>((j + first) & (DRAW_PERIOD - 1)) << 1));
  return i16x8.add_sat_s(v128.load(proposals + (<usize>j << 1)), i16x8.shr_s(numbers, down));
}

@inline
function increment(histogram: usize, bin: i32): void {
  const at = histogram + (<usize>bin << 2);
  store<i32>(at, load<i32>(at) + 1);
}

/** A threshold that a few more keys than there is room for are likely to reach, guessed from every 16th vector. */
@inline
function likelyFloor(
  proposals: usize,
  from: i32,
  to: i32,
  room: i32,
  first: i32,
  down: i32,
  tables: usize,
  histogram: usize,
): i32 {
  if (to - from < 1024) return MIN_PRIORITY;
  memory.fill(histogram, 0, <usize>BINS << 2);
  let maxima = i16x8.splat(0);
  for (let j = from; j + 8 <= to; j += 8 * GUESS_STRIDE) {
    const x = prioritiesFrom(proposals, j, first, down, tables);
    const bins = i16x8.shr_u(i16x8.sub(x, i16x8.splat(<i16>MIN_PRIORITY)), GUESS_BIN_SHIFT);
    maxima = i16x8.max_s(maxima, bins);
    increment(histogram, i16x8.extract_lane_u(bins, 0));
    increment(histogram, i16x8.extract_lane_u(bins, 1));
    increment(histogram, i16x8.extract_lane_u(bins, 2));
    increment(histogram, i16x8.extract_lane_u(bins, 3));
    increment(histogram, i16x8.extract_lane_u(bins, 4));
    increment(histogram, i16x8.extract_lane_u(bins, 5));
    increment(histogram, i16x8.extract_lane_u(bins, 6));
    increment(histogram, i16x8.extract_lane_u(bins, 7));
  }
  const share = room / GUESS_STRIDE;
  // The count has a standard deviation of about its root.
  let left = share + (share >> 3) + <i32>sqrt<f32>(<f32>share) + 4;
  let bin = maxLane(maxima) + 1;
  while (bin > 0 && left >= 0) left -= load<i32>(histogram + (<usize>--bin << 2));
  return MIN_PRIORITY + (bin << GUESS_BIN_SHIFT);
}

/**
 * Lists the blocks of 8 keys of [from, to) in which some reach `floor`: the first key, and a bit for each key that does.
 * Returns the number of blocks.
 */
@inline
function listBlocks(
  proposals: usize,
  from: i32,
  to: i32,
  floor: i32,
  first: i32,
  down: i32,
  tables: usize,
  keyBlocks: usize,
): i32 {
  // Every key reaches the smallest floor, below which there is no number to compare with.
  const belowFloor = i16x8.splat(<i16>max(floor - 1, MIN_PRIORITY));
  const all: i32 = floor == MIN_PRIORITY ? 0xff : 0;
  let target = keyBlocks;
  for (let j = from; j < to; j += 8) {
    let set = i16x8.bitmask(i16x8.gt_s(prioritiesFrom(proposals, j, first, down, tables), belowFloor)) | all;
    if (to - j < 8) set &= (1 << (to - j)) - 1;
    store<i32>(target, j);
    store<i32>(target, set, 4);
    target += <usize>(set != 0) << 3;
  }
  return <i32>((target - keyBlocks) >> 3);
}

/** Writes the keys of the listed blocks and their priorities. Returns how many there are. */
@inline
function expandBlocks(
  keyBlocks: usize,
  listed: i32,
  proposals: usize,
  first: i32,
  down: i32,
  tables: usize,
  candidates: usize,
  priorities: usize,
): i32 {
  let count: usize = 0;
  const end = keyBlocks + (<usize>listed << 3);
  for (let at = keyBlocks; at < end; at += 8) {
    const start = load<i32>(at);
    for (let set = load<i32>(at, 4); set != 0; set &= set - 1) {
      const key = start + ctz(set);
      const number = <i32>load<i16>(tables + (<usize>((key + first) & (DRAW_PERIOD - 1)) << 1)) >> down;
      const priority = <i32>load<i16>(proposals + (<usize>key << 1)) + number;
      store<i32>(candidates + count, key);
      store<i32>(priorities + count, min(priority, 32767));
      count += 4;
    }
  }
  return <i32>(count >> 2);
}

/**
 * The smallest number, not below `floor`, that at most `room` candidates reach; floor + BINS if even the last bin has
 * too many.
 */
@inline
function thresholdOf(priorities: usize, count: i32, room: i32, floor: i32, histogram: usize): i32 {
  memory.fill(histogram, 0, <usize>BINS << 2);
  let maxBin = -1;
  for (let i: usize = 0; i < <usize>count << 2; i += 4) {
    const bin = min(load<i32>(priorities + i) - floor, BINS - 1);
    maxBin = max(maxBin, bin);
    increment(histogram, bin);
  }
  let bin = maxBin + 1;
  while (bin > 0) {
    room -= load<i32>(histogram + (<usize>(bin - 1) << 2));
    if (room < 0) break;
    bin--;
  }
  return floor + bin;
}

/**
 * Moves the candidates that reach t to the front of their list and replaces their priorities by ln pi. Returns how many
 * there are.
 */
@inline
function takeCandidates(
  proposals: usize,
  t: i32,
  down: i32,
  logs: usize,
  candidates: usize,
  priorities: usize,
  count: i32,
): i32 {
  let taken: usize = 0;
  for (let i: usize = 0; i < <usize>count << 2; i += 4) {
    const key = load<i32>(candidates + i);
    const reaches = load<i32>(priorities + i) >= t;
    const shortfall = max(t - <i32>load<i16>(proposals + (<usize>key << 1)), 0) << down;
    store<i32>(candidates + taken, key);
    store<f32>(priorities + taken, load<f32>(logs + (<usize>min(shortfall, DRAW_LOG_ENTRIES - 1) << 2)));
    taken += <usize>reaches << 2;
  }
  return <i32>(taken >> 2);
}
