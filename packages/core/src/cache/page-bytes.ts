/**
 * Pages as they lie, outside of a cache: what a file or another cache of the same shape takes them from.
 */
import { invariant } from '../errors.ts';
import { exactPageBytes, PAGE_KEYS, rowBytes } from '../kernels/layout.ts';
import type { Page } from './page-list.ts';
import { type CacheShape, layoutOf, openBytesOf, openPrecision, slabBytesOf } from './shape.ts';
import { type Block, outOfMemory, type Region, type SlabPool } from './slab-pool.ts';

/** A page outside of a cache. */
export interface PageBytes {
  /** Keys that it holds: 64, or fewer in the last page of a cache. */
  readonly keys: number;
  /**
   * Of a full page its slab: records of all layers and heads (`layout.ts`). Of one that is not full its exact rows: for each
   * layer and head the keys and then the values, in the precision of open pages, 64 rows each of which `keys` count.
   */
  readonly bytes: Uint8Array;
  /** Norms of its rows: (layers, keyValueHeads, 4). */
  readonly norms: Float64Array;
}

/** A full page of a pool, held for whoever keeps it, so that caches of the pool may share it. */
export interface SharedPage {
  readonly pool: SlabPool;
  readonly page: Page;
  /** Bytes of memory. */
  readonly bytes: number;
}

/** Bytes of a page of `keys` keys, as `PageBytes` has them. */
export const pageByteLength = (shape: CacheShape, keys: number): number =>
  keys === PAGE_KEYS ? slabBytesOf(shape) : openPageBytes(shape);

/** Numbers of the norms of a page. */
export const normCount = ({ layers, keyValueHeads }: CacheShape): number => layers * keyValueHeads * 4;

/** Holds a full page. */
export function holdPage(pool: SlabPool, { slab, norms }: Page): SharedPage {
  pool.retain(slab);
  return { pool, page: { slab, rows: undefined, norms }, bytes: slab.bytes };
}

/** Holds a page once more: another call of `releasePage` is due. Returns it. */
export function retainPage(shared: SharedPage): SharedPage {
  shared.pool.retain(shared.page.slab);
  return shared;
}

/**
 * A full page in the memory of a pool, copied from bytes, and held. Throws `invalid-argument` where it is of another shape,
 * and `cache-out-of-memory`.
 */
export function importPage(pool: SlabPool, source: PageBytes): SharedPage {
  checkPage(pool.shape, source);
  invariant(source.keys === PAGE_KEYS, () => ({
    code: 'invalid-argument',
    problem: 'Caches share full pages.',
    found: `${source.keys} keys`,
    remedy: 'Append it to one cache.',
  }));
  let slab: Block | undefined;
  for (let region = 0; slab === undefined && region < pool.regions.length; region++) {
    slab = pool.allocate(region, pool.slabBytes);
  }
  slab ??= pool.allocate(pool.addRegion(), pool.slabBytes);
  if (slab === undefined) throw outOfMemory('an arena that holds not even one page');
  const page = { slab, rows: undefined, norms: new Float64Array(normCount(pool.shape)) };
  writePage(pool, page, source);
  return { pool, page, bytes: slab.bytes };
}

/** Throws `invalid-argument` for a page that no cache of this shape has. */
export function checkPage(shape: CacheShape, { keys, bytes, norms }: PageBytes): void {
  const isCount = Number.isSafeInteger(keys) && keys > 0 && keys <= PAGE_KEYS;
  invariant(isCount && bytes.length === pageByteLength(shape, keys) && norms.length === normCount(shape), () => ({
    code: 'invalid-argument',
    problem: 'A page of another shape does not fit.',
    found: `${keys} keys in ${bytes.length} bytes, ${norms.length} norms`,
    remedy: 'Give a page of a cache with the same layers, heads, precision and encodings.',
  }));
}

/** Lets go of a page that was held: where no cache reads it, its memory is free. */
export const releasePage = ({ pool, page }: SharedPage): void => pool.release(page.slab);

/** A copy of a page that is held. */
export const copyPage = ({ pool, page }: SharedPage): PageBytes => readPage(pool, page, PAGE_KEYS);

/** A copy of a page of which `keys` are committed. What lies behind these in a page that is not full is 0. */
export function readPage(pool: SlabPool, { slab, rows, norms }: Page, keys: number): PageBytes {
  if (keys === PAGE_KEYS) return { keys, bytes: viewOf(pool, slab).slice(), norms: norms.slice() };
  const { shape } = pool;
  const bytes = new Uint8Array(openPageBytes(shape));
  const source = viewOf(pool, rows ?? slab);
  forEachRows(shape, rows !== undefined, keys, (from, to, length) =>
    bytes.set(source.subarray(from, from + length), to),
  );
  return { keys, bytes, norms: norms.slice() };
}

/** Writes a page into one that a cache has made room for. */
export function writePage(pool: SlabPool, { slab, rows, norms }: Page, source: PageBytes): void {
  norms.set(source.norms);
  const target = viewOf(pool, source.keys === PAGE_KEYS ? slab : (rows ?? slab));
  if (source.keys === PAGE_KEYS) {
    target.set(source.bytes);
    return;
  }
  forEachRows(pool.shape, rows !== undefined, source.keys, (to, from, length) =>
    target.set(source.bytes.subarray(from, from + length), to),
  );
}

/** Bytes of the exact rows of a page of all layers and heads. */
const openPageBytes = (shape: CacheShape): number =>
  openBytesOf(shape) || shape.layers * shape.keyValueHeads * exactPageBytes(shape.headDim, shape.precision);

/** Visits the keys and the values of every head: where they are in a page, where in `PageBytes`, and their bytes. */
function forEachRows(
  shape: CacheShape,
  inBlock: boolean,
  keys: number,
  visit: (inPage: number, inBytes: number, length: number) => void,
): void {
  const row = rowBytes(shape.headDim, openPrecision(shape));
  const rowsBytes = PAGE_KEYS * row;
  const record = inBlock ? 2 * rowsBytes : layoutOf(shape).bytes;
  for (let head = 0; head < shape.layers * shape.keyValueHeads; head++) {
    for (let what = 0; what < 2; what++) {
      visit(head * record + what * rowsBytes, (2 * head + what) * rowsBytes, keys * row);
    }
  }
}

function viewOf(pool: SlabPool, { region, address, bytes }: Block): Uint8Array {
  return new Uint8Array((pool.regions[region] as Region).arena.memory.buffer, address, bytes);
}
