/**
 * Attention of a few query rows to scattered keys of which each row sees its own: keys and values are gathered and
 * converted once for all rows. Scratch: gathered rows (64, d), scores (rows, 64), and the offsets of each row's own keys
 * among the gathered ones (rows, 64) of int32, with their number (rows).
 */
import { gather, mask } from './decode';
import { Pages } from './generated';
import { PAGE_KEYS, pageAddress, rowBytes } from './pages';
import { addListedRows, scoreListedRows } from './rows';
import { updateSoftmax, stateOutput } from './softmax';

/** See `QuantizedKernels.attendMasked`. */
export function attendMasked(
  pages: Pages,
  indices: usize,
  masks: usize,
  count: i32,
  queries: usize,
  rows: i32,
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
  const output = stateOutput(state, rows);
  const rowScores: usize = PAGE_KEYS << 2;
  const scores = scratch + queryBytes * PAGE_KEYS;
  const offsets = scores + <usize>rows * rowScores;
  const counts = offsets + <usize>rows * rowScores;
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const chunk = min(count - done, PAGE_KEYS);
    const list = indices + (<usize>done << 2);
    touch(table, headOffset, bytes, keyBytes, list, chunk, scores);
    gather(table, headOffset, bytes, d, isFloat16, list, chunk, scratch);
    for (let r = 0; r < rows; r++) {
      const rowOffsets = offsets + <usize>r * rowScores;
      const row = scores + <usize>r * rowScores;
      const live = listOffsets(masks + (<usize>done << 2), chunk, r, queryBytes, rowOffsets);
      store<i32>(counts + (<usize>r << 2), live);
      if (live == 0) continue;
      const end = (live + 3) & ~3;
      scoreListedRows(queries + <usize>r * queryBytes, scratch, rowOffsets, end, d, row);
      mask(row, live, end);
      updateSoftmax(row, end, state + (<usize>r << 3), output + <usize>r * queryBytes, d);
    }
    gather(table, headOffset + keyBytes, bytes, d, isFloat16, list, chunk, scratch);
    for (let r = 0; r < rows; r++) {
      const live = load<i32>(counts + (<usize>r << 2));
      const rowOffsets = offsets + <usize>r * rowScores;
      if (live > 0) addListedRows(scores + <usize>r * rowScores, scratch, rowOffsets, live, d, output + <usize>r * queryBytes);
    }
  }
}

/** Writes the offsets of the rows whose mask has bit `r`, and repeats the last to a multiple of 4. Returns their number. */
@inline
function listOffsets(masks: usize, count: i32, r: i32, rowBytes: usize, offsets: usize): i32 {
  let target = offsets;
  let last: u32 = 0;
  for (let i = 0; i < count; i++) {
    const offset = <u32>(<usize>i * rowBytes);
    store<u32>(target, offset);
    const isOwn = (load<u32>(masks + (<usize>i << 2)) >> r) & 1;
    if (isOwn) last = offset;
    target += <usize>isOwn << 2;
  }
  const live = <i32>((target - offsets) >> 2);
  for (let i = live; i < ((live + 3) & ~3); i++) store<u32>(offsets + (<usize>i << 2), last);
  return live;
}

/**
 * Reads a number of every cache line of the keys and values at `indices`, so that the waits for memory overlap. The sum
 * goes to `sink`, which is overwritten later: unused reads would be optimized away.
 */
@inline
function touch(
  table: usize,
  encodingOffset: usize,
  bytes: usize,
  keyBytes: usize,
  indices: usize,
  count: i32,
  sink: usize,
): void {
  let sum: u32 = 0;
  for (let i = 0; i < count; i++) {
    const index = load<i32>(indices + (<usize>i << 2));
    const row = pageAddress(table, encodingOffset, index / PAGE_KEYS) + <usize>(index & (PAGE_KEYS - 1)) * bytes;
    for (let at: usize = 0; at < bytes; at += 64) {
      sum += <u32>load<u8>(row + at) + <u32>load<u8>(row + keyBytes + at);
    }
  }
  store<u32>(sink, sum);
}
