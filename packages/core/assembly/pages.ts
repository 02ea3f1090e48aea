/**
 * Where the keys lie. A page holds 64 consecutive keys of one key-value head: exact key rows (64, d), then value rows
 * (64, d), in float16 or float32. `table` has the address of every page of the first head; the page of another head lies
 * `headOffset` bytes further.
 */
import { widenRow } from './float16';
import { PAGE_KEYS } from './generated';

export { PAGE_KEYS };

/** Address of page `page` of a head. */
@inline
export function pageAddress(table: usize, headOffset: usize, page: i32): usize {
  return <usize>load<u32>(table + (<usize>page << 2)) + headOffset;
}

/** Bytes of one row of d numbers. */
@inline
export function rowBytes(d: i32, isFloat16: bool): usize {
  return <usize>d << (isFloat16 ? 1 : 2);
}

/**
 * Rows [from, to) of `rows` as floats. Returns the address of row 0: `rows` itself if they are float32, else `scratch`,
 * into which they are converted.
 */
@inline
export function floatRows(rows: usize, from: i32, to: i32, d: i32, isFloat16: bool, scratch: usize): usize {
  if (!isFloat16) return rows;
  const bytes = rowBytes(d, true);
  widenRow(rows + <usize>from * bytes, scratch + <usize>from * (bytes << 1), (to - from) * d);
  return scratch;
}
