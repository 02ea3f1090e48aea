/**
 * Attention of a few query rows, those of the heads that share a key-value head, over pages of keys: each page is
 * widened once into the first-level cache and serves all rows.
 *
 * `queries` (rows, d) are scaled by 1 / sqrt(d) already. `scratch` holds one page of floats (64, d) and then the
 * scores (rows, 64).
 */
import { floatRows, PAGE_KEYS, pageAddress, rowBytes } from './pages';
import { addWeightedRows, scoreRows } from './rows';
import { absorbScores, stateOutput } from './softmax';

/** Masks those of the scores computed, [start, end), that lie outside [from, to). */
@inline
function mask(scores: usize, from: i32, to: i32, start: i32, end: i32): void {
  for (let i = start; i < from; i++) store<f32>(scores + (<usize>i << 2), -Infinity);
  for (let i = to; i < end; i++) store<f32>(scores + (<usize>i << 2), -Infinity);
}

/** Takes keys [from, to) into the state of `rows` query rows. */
export function attendDecode(
  table: usize,
  headOffset: usize,
  d: i32,
  half: bool,
  from: i32,
  to: i32,
  queries: usize,
  rows: i32,
  state: usize,
  scratch: usize,
): void {
  const planeBytes = rowBytes(d, half) * PAGE_KEYS;
  const queryBytes = <usize>d << 2;
  const output = stateOutput(state, rows);
  const scores = scratch + queryBytes * PAGE_KEYS;
  for (let page = from / PAGE_KEYS; page * PAGE_KEYS < to; page++) {
    const first = max(from - page * PAGE_KEYS, 0);
    const last = min(to - page * PAGE_KEYS, PAGE_KEYS);
    // Scores are computed four at a time; those outside [first, last) are masked afterwards.
    const start = first & ~3;
    const end = (last + 3) & ~3;
    const address = pageAddress(table, headOffset, page);
    const keys = floatRows(address, start, end, d, half, scratch);
    for (let r = 0; r < rows; r++) {
      const row = scores + (<usize>r * PAGE_KEYS << 2);
      const here = row + (<usize>start << 2);
      scoreRows(queries + <usize>r * queryBytes, keys + <usize>start * queryBytes, end - start, d, here);
      mask(row, first, last, start, end);
      absorbScores(here, end - start, state + (<usize>r << 3), output + <usize>r * queryBytes, d);
    }
    const values = floatRows(address + planeBytes, first, last, d, half, scratch);
    for (let r = 0; r < rows; r++) {
      const row = scores + (<usize>r * PAGE_KEYS << 2);
      addWeightedRows(row, values, first, last, d, output + <usize>r * queryBytes);
    }
  }
}

/** Exact scores of keys [from, to) for `rows` query rows, into `scores` (rows, stride), column 0 being key `from`. */
export function scoreKeys(
  table: usize,
  headOffset: usize,
  d: i32,
  half: bool,
  from: i32,
  to: i32,
  queries: usize,
  rows: i32,
  scores: usize,
  stride: i32,
  scratch: usize,
): void {
  const queryBytes = <usize>d << 2;
  const pageScores = scratch + queryBytes * PAGE_KEYS;
  for (let page = from / PAGE_KEYS; page * PAGE_KEYS < to; page++) {
    const base = page * PAGE_KEYS;
    const first = max(from - base, 0);
    const last = min(to - base, PAGE_KEYS);
    const start = first & ~3;
    const end = (last + 3) & ~3;
    const keys = floatRows(pageAddress(table, headOffset, page), start, end, d, half, scratch);
    for (let r = 0; r < rows; r++) {
      scoreRows(queries + <usize>r * queryBytes, keys + <usize>start * queryBytes, end - start, d, pageScores);
      const to = scores + ((<usize>r * stride + (base + first - from)) << 2);
      memory.copy(to, pageScores + (<usize>(first - start) << 2), <usize>(last - first) << 2);
    }
  }
}

/**
 * Takes the keys named by `indices` (count) into the state of one query row. Their rows are scattered, so 64 of them
 * at a time are brought together first: those reads wait for memory side by side, and the arithmetic not at all.
 */
export function attendSelected(
  table: usize,
  headOffset: usize,
  d: i32,
  half: bool,
  indices: usize,
  count: i32,
  query: usize,
  state: usize,
  scratch: usize,
): void {
  const bytes = rowBytes(d, half);
  const planeBytes = bytes * PAGE_KEYS;
  const queryBytes = <usize>d << 2;
  const scores = scratch + queryBytes * PAGE_KEYS;
  const output = stateOutput(state, 1);
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const some = min(count - done, PAGE_KEYS);
    const list = indices + (<usize>done << 2);
    gather(table, headOffset, bytes, d, half, list, some, scratch);
    const end = (some + 3) & ~3;
    scoreRows(query, scratch, end, d, scores);
    mask(scores, 0, some, 0, end);
    absorbScores(scores, end, state, output, d);
    gather(table, headOffset + planeBytes, bytes, d, half, list, some, scratch);
    addWeightedRows(scores, scratch, 0, some, d, output);
  }
}

/** Brings rows named by `indices` together as floats. */
@inline
function gather(
  table: usize,
  planeOffset: usize,
  bytes: usize,
  d: i32,
  half: bool,
  indices: usize,
  count: i32,
  destination: usize,
): void {
  for (let i = 0; i < count; i++) {
    const index = load<i32>(indices + (<usize>i << 2));
    const row = pageAddress(table, planeOffset, index / PAGE_KEYS) + <usize>(index & (PAGE_KEYS - 1)) * bytes;
    const to = destination + (<usize>(i * d) << 2);
    if (half) floatRows(row, 0, 1, d, true, to);
    else memory.copy(to, row, bytes);
  }
}
