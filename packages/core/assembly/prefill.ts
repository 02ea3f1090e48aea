/**
 * Attention of a block of query rows over pages of keys: two small matrix products a page, with the running softmax
 * between them (Dao et al., arXiv 2205.14135, algorithm 1, one page of keys a step).
 *
 * Rows are (query, head of the group); row r sees the keys before `limit + r / group`. All row buffers have room
 * for the number of rows rounded up to 4.
 */
import { widenHigh, widenLow } from './float16';
import { Pages } from './generated';
import { floatRows, PAGE_KEYS, pageAddress, rowBytes } from './pages';
import { capScores } from './soft-cap';
import { updateSoftmax, stateOutput } from './softmax';

/**
 * c (4, 8) = [c +] a (4, inner) b (inner, 8): eight accumulators, two vectors of b and one of a stay in registers.
 * Strides in bytes.
 */
@inline
export function multiplyTile(
  a: usize,
  aStride: usize,
  b: usize,
  bStride: usize,
  inner: i32,
  c: usize,
  cStride: usize,
  add: bool,
): void {
  let c00 = f32x4.splat(0.0);
  let c01 = f32x4.splat(0.0);
  let c10 = f32x4.splat(0.0);
  let c11 = f32x4.splat(0.0);
  let c20 = f32x4.splat(0.0);
  let c21 = f32x4.splat(0.0);
  let c30 = f32x4.splat(0.0);
  let c31 = f32x4.splat(0.0);
  const c1 = c + cStride;
  const c2 = c1 + cStride;
  const c3 = c2 + cStride;
  if (add) {
    c00 = v128.load(c);
    c01 = v128.load(c, 16);
    c10 = v128.load(c1);
    c11 = v128.load(c1, 16);
    c20 = v128.load(c2);
    c21 = v128.load(c2, 16);
    c30 = v128.load(c3);
    c31 = v128.load(c3, 16);
  }
  let a0 = a;
  let a1 = a0 + aStride;
  let a2 = a1 + aStride;
  let a3 = a2 + aStride;
  const end = a + (<usize>inner << 2);
  while (a0 < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a0);
    c00 = f32x4.add(c00, f32x4.mul(x, b0));
    c01 = f32x4.add(c01, f32x4.mul(x, b1));
    x = v128.load32_splat(a1);
    c10 = f32x4.add(c10, f32x4.mul(x, b0));
    c11 = f32x4.add(c11, f32x4.mul(x, b1));
    x = v128.load32_splat(a2);
    c20 = f32x4.add(c20, f32x4.mul(x, b0));
    c21 = f32x4.add(c21, f32x4.mul(x, b1));
    x = v128.load32_splat(a3);
    c30 = f32x4.add(c30, f32x4.mul(x, b0));
    c31 = f32x4.add(c31, f32x4.mul(x, b1));
    b += bStride;
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c1, c10);
  v128.store(c1, c11, 16);
  v128.store(c2, c20);
  v128.store(c2, c21, 16);
  v128.store(c3, c30);
  v128.store(c3, c31, 16);
}

/** Transposes four rows of four floats, given in registers, into columns of `destination` (d, 64). */
@inline
export function storeTransposed(a: v128, b: v128, c: v128, e: v128, destination: usize): void {
  const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const ce0 = v128.shuffle<f32>(c, e, 0, 4, 1, 5);
  const ce1 = v128.shuffle<f32>(c, e, 2, 6, 3, 7);
  v128.store(destination, v128.shuffle<f32>(ab0, ce0, 0, 1, 4, 5));
  v128.store(destination, v128.shuffle<f32>(ab0, ce0, 2, 3, 6, 7), 256);
  v128.store(destination, v128.shuffle<f32>(ab1, ce1, 0, 1, 4, 5), 512);
  v128.store(destination, v128.shuffle<f32>(ab1, ce1, 2, 3, 6, 7), 768);
}

/** Transposes the keys (64, d) of a page into (d, 64) floats. */
export function transposeKeys(keys: usize, d: i32, isFloat16: bool, destination: usize): void {
  const bytes = rowBytes(d, isFloat16);
  for (let key = 0; key < PAGE_KEYS; key += 4) {
    let r0 = keys + <usize>key * bytes;
    let r1 = r0 + bytes;
    let r2 = r1 + bytes;
    let r3 = r2 + bytes;
    let to = destination + (<usize>key << 2);
    const end = r1;
    while (r0 < end) {
      if (isFloat16) {
        const h0 = v128.load(r0);
        const h1 = v128.load(r1);
        const h2 = v128.load(r2);
        const h3 = v128.load(r3);
        storeTransposed(widenLow(h0), widenLow(h1), widenLow(h2), widenLow(h3), to);
        storeTransposed(widenHigh(h0), widenHigh(h1), widenHigh(h2), widenHigh(h3), to + 1024);
        to += 2048;
      } else {
        storeTransposed(v128.load(r0), v128.load(r1), v128.load(r2), v128.load(r3), to);
        to += 1024;
      }
      r0 += 16;
      r1 += 16;
      r2 += 16;
      r3 += 16;
    }
  }
}

/**
 * Adds keys [from, to) to the state of a block of query rows, of which each sees the last `window` before its limit.
 * `from` is the first key of a page. A score s becomes cap tanh(s / cap), where the cap is not 0.
 * `scratch` holds the keys of a page (d, 64), its values (64, d) and the scores (rows, 64), all floats.
 */
export function attendPrefill(
  pages: Pages,
  from: i32,
  to: i32,
  queries: usize,
  rows: i32,
  group: i32,
  limit: i32,
  window: i32,
  softCap: f32,
  state: usize,
  scratch: usize,
): void {
  const table = pages.exactTable;
  const headOffset = pages.exactOffset;
  const d = pages.headDim;
  const isFloat16 = pages.isFloat16 != 0;
  const queryBytes = <usize>d << 2;
  const scoreBytes: usize = <usize>PAGE_KEYS << 2;
  const keyBytes = rowBytes(d, isFloat16) * PAGE_KEYS;
  const output = stateOutput(state, rows);
  const keys = scratch;
  const valueScratch = keys + queryBytes * PAGE_KEYS;
  const scores = valueScratch + queryBytes * PAGE_KEYS;
  const visibleEnd = min(to, limit + (rows - 1) / group);
  for (let page = max(from, limit - window) / PAGE_KEYS; page * PAGE_KEYS < visibleEnd; page++) {
    const first = page * PAGE_KEYS;
    // Keys of this page that row 0 no longer sees; every query sees one key less than the one before.
    const unseen = limit - window - first;
    const live = min(visibleEnd - first, PAGE_KEYS);
    const address = pageAddress(table, headOffset, page);
    transposeKeys(address, d, isFloat16, keys);
    const values = floatRows(address + keyBytes, 0, live, d, isFloat16, valueScratch);
    // Rows before `firstRow` see no key of this page.
    const firstRow = max(0, (first - limit + 1) * group) & ~3;
    // Rows from `endRow` on see no key of it any more.
    const endRow = <i32>min<i64>(rows, max<i64>(0, <i64>live - unseen) * group);
    for (let r = firstRow; r < endRow; r += 4) {
      const q = queries + <usize>r * queryBytes;
      const s = scores + <usize>r * scoreBytes;
      for (let key = 0; key < live; key += 8) {
        const column = <usize>key << 2;
        multiplyTile(q, queryBytes, keys + column, scoreBytes, d, s + column, scoreBytes, false);
      }
    }
    const tiledRows = min(rows, (endRow + 3) & ~3);
    for (let r = firstRow; r < tiledRows; r++) {
      const s = scores + <usize>r * scoreBytes;
      capScores(s, (live + 3) & ~3, softCap);
      const allowed = max(0, min(live, limit + r / group - first));
      const forgotten = min(allowed, unseen + r / group);
      for (let i = 0; i < forgotten; i++) store<f32>(s + (<usize>i << 2), -Infinity);
      for (let i = allowed; i < PAGE_KEYS; i++) store<f32>(s + (<usize>i << 2), -Infinity);
      updateSoftmax(s, PAGE_KEYS, state + (<usize>r << 3), output + <usize>r * queryBytes, d);
    }
    for (let r = firstRow; r < endRow; r += 4) {
      const p = scores + <usize>r * scoreBytes;
      const o = output + <usize>r * queryBytes;
      for (let i: usize = 0; i < queryBytes; i += 32) {
        multiplyTile(p, scoreBytes, values + i, queryBytes, live, o + i, queryBytes, true);
      }
    }
  }
}
