/**
 * Attention of a few query rows, those of the heads that share a key-value head, over pages of keys: each page is
 * converted to float32 once, in the first-level cache, and serves all rows.
 *
 * `queries` (rows, d) are scaled by 1 / sqrt(d) already. `scratch` holds one page of floats (64, d) and then the
 * scores (rows, 64).
 */
import { Pages } from './generated';
import { floatRows, PAGE_KEYS, pageAddress, rowBytes } from './pages';
import { addWeightedRows, scoreRows } from './rows';
import { capScores } from './soft-cap';
import { updateSoftmax, stateOutput } from './softmax';

/**
 * Rows that are converted before they are used. Few, so that the hardware prefetcher, which runs some lines ahead of the
 * reads, brings the next rows meanwhile: with whole pages, reading and arithmetic would take turns, at a third more time.
 */
const KEYS_AT_ONCE: i32 = 4;
const VALUES_AT_ONCE: i32 = 16;

/** Masks the scores [from, to) of keys that are not seen. */
@inline
export function mask(scores: usize, from: i32, to: i32): void {
  for (let i = from; i < to; i++) store<f32>(scores + (<usize>i << 2), -Infinity);
}

/** Adds keys [from, to) to the state of `rows` query rows. A score s becomes cap tanh(s / cap), where the cap is not 0. */
export function attendDecode(
  pages: Pages,
  from: i32,
  to: i32,
  queries: usize,
  rows: i32,
  softCap: f32,
  state: usize,
  scratch: usize,
): void {
  const table = pages.exactTable;
  const headOffset = pages.exactOffset;
  const d = pages.headDim;
  const isFloat16 = pages.isFloat16 != 0;
  const keyBytes = rowBytes(d, isFloat16) * PAGE_KEYS;
  const queryBytes = <usize>d << 2;
  const output = stateOutput(state, rows);
  const scores = scratch + queryBytes * PAGE_KEYS;
  for (let page = from / PAGE_KEYS; page * PAGE_KEYS < to; page++) {
    const live = min(to - page * PAGE_KEYS, PAGE_KEYS);
    const end = (live + 3) & ~3;
    const unseen = max(from - page * PAGE_KEYS, 0);
    const address = pageAddress(table, headOffset, page);
    for (let key = unseen & ~3; key < end; key += KEYS_AT_ONCE) {
      const chunk = min(KEYS_AT_ONCE, end - key);
      const keys = floatRows(address, key, key + chunk, d, isFloat16, scratch) + <usize>key * queryBytes;
      for (let r = 0; r < rows; r++) {
        const rowScores = scores + (<usize>(r * PAGE_KEYS + key) << 2);
        scoreRows(queries + <usize>r * queryBytes, keys, chunk, d, rowScores);
      }
    }
    for (let r = 0; r < rows; r++) {
      const row = scores + (<usize>r * PAGE_KEYS << 2);
      capScores(row + (<usize>(unseen & ~3) << 2), end - (unseen & ~3), softCap);
      mask(row, 0, unseen);
      mask(row, live, end);
      updateSoftmax(row, end, state + (<usize>r << 3), output + <usize>r * queryBytes, d);
    }
    for (let key = unseen & ~(VALUES_AT_ONCE - 1); key < live; key += VALUES_AT_ONCE) {
      const chunk = min(VALUES_AT_ONCE, live - key);
      const values = floatRows(address + keyBytes, key, key + chunk, d, isFloat16, scratch) + <usize>key * queryBytes;
      for (let r = 0; r < rows; r++) {
        const rowScores = scores + (<usize>(r * PAGE_KEYS + key) << 2);
        addWeightedRows(rowScores, values, chunk, d, output + <usize>r * queryBytes);
      }
    }
  }
}

/** Exact scores of keys [from, to) for `rows` query rows, into `scores` (rows, stride), column 0 being key `from`. */
export function scoreKeys(
  pages: Pages,
  from: i32,
  to: i32,
  queries: usize,
  rows: i32,
  scores: usize,
  stride: i32,
  scratch: usize,
): void {
  const table = pages.exactTable;
  const headOffset = pages.exactOffset;
  const d = pages.headDim;
  const isFloat16 = pages.isFloat16 != 0;
  const queryBytes = <usize>d << 2;
  const pageScores = scratch + queryBytes * PAGE_KEYS;
  for (let page = from / PAGE_KEYS; page * PAGE_KEYS < to; page++) {
    const base = page * PAGE_KEYS;
    const first = max(from - base, 0);
    const last = min(to - base, PAGE_KEYS);
    const start = first & ~3;
    const end = (last + 3) & ~3;
    const keys = floatRows(pageAddress(table, headOffset, page), start, end, d, isFloat16, scratch);
    for (let r = 0; r < rows; r++) {
      scoreRows(queries + <usize>r * queryBytes, keys + <usize>start * queryBytes, end - start, d, pageScores);
      const to = scores + ((<usize>r * stride + (base + first - from)) << 2);
      memory.copy(to, pageScores + (<usize>(first - start) << 2), <usize>(last - first) << 2);
    }
  }
}

/**
 * Adds the keys at `indices` (count) to the state of one query row. Their rows are scattered, so 64 of them at a time are
 * gathered first: these reads wait for memory in parallel, and the arithmetic not at all.
 */
export function attendSelected(
  pages: Pages,
  indices: usize,
  count: i32,
  query: usize,
  state: usize,
  scratch: usize,
): void {
  const table = pages.exactTable;
  const headOffset = pages.exactOffset;
  const d = pages.headDim;
  const isFloat16 = pages.isFloat16 != 0;
  const bytes = rowBytes(d, isFloat16);
  const keyBytes = bytes * PAGE_KEYS;
  const queryBytes = <usize>d << 2;
  const scores = scratch + queryBytes * PAGE_KEYS;
  const output = stateOutput(state, 1);
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const chunk = min(count - done, PAGE_KEYS);
    const list = indices + (<usize>done << 2);
    gather(table, headOffset, bytes, d, isFloat16, list, chunk, scratch);
    const end = (chunk + 3) & ~3;
    scoreRows(query, scratch, end, d, scores);
    mask(scores, chunk, end);
    updateSoftmax(scores, end, state, output, d);
    gather(table, headOffset + keyBytes, bytes, d, isFloat16, list, chunk, scratch);
    addWeightedRows(scores, scratch, chunk, d, output);
  }
}

/** Gathers the rows at `indices` as floats. */
@inline
export function gather(
  table: usize,
  encodingOffset: usize,
  bytes: usize,
  d: i32,
  isFloat16: bool,
  indices: usize,
  count: i32,
  destination: usize,
): void {
  for (let i = 0; i < count; i++) {
    const index = load<i32>(indices + (<usize>i << 2));
    const row = pageAddress(table, encodingOffset, index / PAGE_KEYS) + <usize>(index & (PAGE_KEYS - 1)) * bytes;
    const to = destination + (<usize>(i * d) << 2);
    if (isFloat16) floatRows(row, 0, 1, d, true, to);
    else memory.copy(to, row, bytes);
  }
}
