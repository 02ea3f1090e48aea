/**
 * The running softmax of a set of query rows (Milakov and Gimelshein, arXiv 1805.02867). The state of `rows` rows:
 *   statistics (rows, 2): the maximal score so far and the sum of e^(score - max),
 *   output (rows, d): the sum of e^(score - max) * value, not yet divided.
 */
import { exponential, exponential1, maxLanes, sumLanes } from './exponential';

/** Address of the output rows in a state: behind the statistics, aligned to 16 bytes. */
@inline
export function stateOutput(state: usize, rows: i32): usize {
  return state + ((<usize>rows * 8 + 15) & ~15);
}

/** Multiplies `d` floats (a multiple of 4) by `factor`. */
@inline
export function scaleRow(row: usize, d: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  const end = row + (<usize>d << 2);
  while (row < end) {
    v128.store(row, f32x4.mul(v128.load(row), f));
    row += 16;
  }
}

/**
 * Raises the maximum of one row's statistics to that of `count` scores (a multiple of 4), and rescales its sum and its
 * output to it. Returns the maximum; -infinity if every key so far is masked.
 */
@inline
export function raiseMaximum(scores: usize, count: i32, statistics: usize, output: usize, d: i32): f32 {
  const previousMax = load<f32>(statistics);
  let best = f32x4.splat(previousMax);
  for (let i = 0; i < count; i += 4) best = f32x4.pmax(best, v128.load(scores + (<usize>i << 2)));
  const maxScore = maxLanes(best);
  if (maxScore > previousMax) {
    const shrink = exponential1(previousMax - maxScore);
    store<f32>(statistics, maxScore);
    store<f32>(statistics, load<f32>(statistics, 4) * shrink, 4);
    scaleRow(output, d, shrink);
  }
  return maxScore;
}

/**
 * Adds `count` scores (a multiple of 4; -infinity for masked keys) of one row to its statistics, replaces them by their
 * weights e^(score - max), and rescales the row's output if the maximum has grown.
 */
@inline
export function updateSoftmax(scores: usize, count: i32, statistics: usize, output: usize, d: i32): void {
  const maxScore = raiseMaximum(scores, count, statistics, output, d);
  if (maxScore == -Infinity) {
    // Every key so far is masked: all weights are 0, and infinities must not be subtracted.
    for (let i = 0; i < count; i += 4) v128.store(scores + (<usize>i << 2), f32x4.splat(0.0));
    return;
  }
  const shift = f32x4.splat(maxScore);
  let total = f32x4.splat(0.0);
  for (let i = 0; i < count; i += 4) {
    const address = scores + (<usize>i << 2);
    const weight = exponential(f32x4.sub(v128.load(address), shift));
    v128.store(address, weight);
    total = f32x4.add(total, weight);
  }
  store<f32>(statistics, load<f32>(statistics, 4) + sumLanes(total), 4);
}

/** See `Kernels.scaleQueries`. */
export function scaleQueries(queries: usize, rows: i32, d: i32): f32 {
  const scale = f32x4.splat(<f32>(1.0 / Math.sqrt(<f64>d)));
  let maxSquare: f32 = 0.0;
  for (let r = 0; r < rows; r++) {
    let squares = f32x4.splat(0.0);
    const end = queries + (<usize>d << 2);
    for (; queries < end; queries += 16) {
      const x = f32x4.mul(v128.load(queries), scale);
      v128.store(queries, x);
      squares = f32x4.add(squares, f32x4.mul(x, x));
    }
    maxSquare = max(maxSquare, sumLanes(squares));
  }
  return <f32>Math.sqrt(<f64>maxSquare);
}

/** Initializes a state of `rows` rows, with no keys. */
export function initSoftmaxState(state: usize, rows: i32, d: i32): void {
  for (let r = 0; r < rows; r++) {
    store<f32>(state + (<usize>r << 3), -Infinity);
    store<f32>(state + (<usize>r << 3), 0.0, 4);
  }
  memory.fill(stateOutput(state, rows), 0, <usize>(rows * d) << 2);
}

/** Adds the keys of the state `other` to `state`. */
export function mergeState(state: usize, other: usize, rows: i32, d: i32): void {
  let output = stateOutput(state, rows);
  let from = stateOutput(other, rows);
  for (let r = 0; r < rows; r++) {
    const mine = load<f32>(state);
    const theirs = load<f32>(other);
    const maxScore = max(mine, theirs);
    const keep = maxScore == -Infinity ? <f32>0.0 : exponential1(mine - maxScore);
    const take = maxScore == -Infinity ? <f32>0.0 : exponential1(theirs - maxScore);
    store<f32>(state, maxScore);
    store<f32>(state, load<f32>(state, 4) * keep + load<f32>(other, 4) * take, 4);
    for (let i = 0; i < d; i += 4) {
      const sum = f32x4.add(
        f32x4.mul(v128.load(output), f32x4.splat(keep)),
        f32x4.mul(v128.load(from), f32x4.splat(take)),
      );
      v128.store(output, sum);
      output += 16;
      from += 16;
    }
    state += 8;
    other += 8;
  }
}

/** Divides the output rows by their sums, into `destination`, whose rows lie `stride` bytes apart. */
export function normalize(state: usize, rows: i32, d: i32, destination: usize, stride: usize): void {
  let output = stateOutput(state, rows);
  for (let r = 0; r < rows; r++) {
    const sum = f32x4.splat(load<f32>(state + (<usize>r << 3), 4));
    const row = destination + <usize>r * stride;
    for (let i = 0; i < d; i += 4) {
      v128.store(row + (<usize>i << 2), f32x4.div(v128.load(output), sum));
      output += 16;
    }
  }
}
