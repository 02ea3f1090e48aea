/**
 * The paged key-value cache. Keys and values of all layers and key-value heads lie in slabs: the slab of page p holds that
 * page of every head, one after the other, so a cache grows by allocating the next slab and never copies what is there.
 * Slabs come from a pool, which caches of one shape share: a fork reads the pages of the cache that it was made from, and
 * each of the two copies the last one when it writes into it.
 *
 * Appending has three steps, so that nothing is ever half there: `reserve` finds the room and may fail, `write` fills
 * it layer by layer, `commit` makes it part of the cache. Without a commit the cache is what it was.
 */
import { invariant } from '../errors.ts';
import { exactRow } from '../kernels/exact-rows.ts';
import type { Pages } from '../kernels/kernels.ts';
import {
  type Encoding,
  exactPageBytes,
  PAGE_KEYS,
  type Precision,
  pagesFor,
  rotatedDim,
  rowBytes,
} from '../kernels/layout.ts';
import { createWasmKernels } from '../kernels/wasm/wasm-kernels.ts';
import { type KernelsFactory, MAX_ARENA_BYTES } from './arena.ts';
import { writeExactRows } from './exact-rows.ts';
import { addNorms, addRows, forgetRows, type HeadNorms, noNorms, type PageNorms } from './norms.ts';
import { createPageList, type Page, type PageList, type Segment } from './page-list.ts';
import { type CacheShape, cacheShape, checkPositiveInteger, layoutOf, openPrecision } from './shape.ts';
import { type Block, createSlabPool, decodedRows, type Region, type SlabPool } from './slab-pool.ts';

/** The shape of the caches of a pool, and where their memory ends. */
export interface CachePoolOptions {
  layers: number;
  keyValueHeads: number;
  /** Dimension of a head: a multiple of 8, at most 256. */
  headDim: number;
  /** How keys and values are kept: see `Precision`. Default: `f16`. */
  precision?: Precision;
  /** Encodings beside the exact rows, for selectors and tails that read them. Default: none. */
  encodings?: readonly Encoding[];
  /** Maximum number of bytes of one arena, at most 4 GiB. Default: 4 GiB. */
  arenaBytes?: number;
  /** Whether threads share the memory. Default: where the platform has SharedArrayBuffer. */
  shared?: boolean;
  /** Arithmetic. Default: WebAssembly. */
  createKernels?: KernelsFactory;
  /** Called with each region when it is made, before keys go into it: to allocate what is to be beside them. */
  onRegion?: (region: Region) => void;
}

/** What a cache has of its own beside the others of its pool. */
export interface CacheOptions {
  /** Maximum number of keys. Memory is taken as keys arrive, not at once. */
  capacity: number;
  /** Bytes at which the cache is full: `KvCache.bytes` stays below. Default: no limit but the machine's. */
  memoryLimit?: number;
  /** Called when the cache was truncated to `length` keys, for state that is kept beside it. */
  onTruncate?: (length: number) => void;
}

/** The sizes of a cache, and where its memory ends. */
export interface KvCacheOptions extends CachePoolOptions, CacheOptions {}

/** Makes the memory that caches of one shape share. Throws `invalid-argument` or `cache-out-of-memory`. */
export function createCachePool(options: CachePoolOptions): SlabPool {
  const { arenaBytes = MAX_ARENA_BYTES } = options;
  const shape = cacheShape(options);
  checkPositiveInteger('arenaBytes', arenaBytes);
  return createSlabPool({
    shape,
    arenaBytes,
    shared: options.shared ?? typeof SharedArrayBuffer !== 'undefined',
    createKernels: options.createKernels ?? createWasmKernels,
    onRegion: options.onRegion,
  });
}

/** Positions are 32-bit integers. */
const MAX_CAPACITY = 2 ** 31 - 1;

/** Rounding to float16 may lengthen a row by a factor of 1 + 2^-11; subnormals by 2^-25 a number. */
const ROUNDING_MARGIN = 1 + 2 ** -10;
const SUBNORMAL_MARGIN = 2 ** -20;

/** Keys and values of all layers, in pages. Throws `disposed` from every method once it has been disposed of. */
export class KvCache {
  readonly shape: CacheShape;
  readonly capacity: number;
  readonly #options: CacheOptions & { pool: SlabPool };
  readonly #pool: SlabPool;
  readonly #pages: PageList;
  /** Factors by which rounding may lengthen rows. */
  readonly #roundingMargins: { keys: number; values: number };
  /** Norms of all rows that were written, committed or not. */
  #norms: PageNorms;
  /** Norms of the committed rows of the page that is not full. */
  #openNorms: PageNorms;
  /** Norms of the open page as they were when the cache was last truncated, and to which length. */
  #openNormsAtTruncation: { length: number; norms: PageNorms } | undefined;
  #length = 0;
  #reserved = 0;
  #disposed = false;

  /** A cache with a pool of its own, or in one that it shares. Throws `invalid-argument` or `cache-out-of-memory`. */
  constructor(options: KvCacheOptions | (CacheOptions & { pool: SlabPool }), parent?: KvCache) {
    const { capacity, memoryLimit = Number.POSITIVE_INFINITY, onTruncate } = options;
    checkPositiveInteger('capacity', capacity);
    invariant(capacity <= MAX_CAPACITY, () => ({
      code: 'invalid-argument',
      problem: `A cache holds at most ${MAX_CAPACITY} keys.`,
      found: capacity,
      remedy: 'Give the longest context that will be used.',
    }));
    if (memoryLimit !== Number.POSITIVE_INFINITY) checkPositiveInteger('memoryLimit', memoryLimit);
    const pool = 'pool' in options ? options.pool : createCachePool(options);
    this.shape = pool.shape;
    this.capacity = capacity;
    this.#options = { pool, capacity, memoryLimit, ...(onTruncate && { onTruncate }) };
    this.#pool = pool;
    this.#pages = parent ? parent.#pages.fork() : createPageList({ pool, capacity: pagesFor(capacity), memoryLimit });
    this.#roundingMargins = roundingMargins(this.shape);
    this.#norms = parent ? parent.#norms.slice() : noNorms(this.shape);
    this.#openNorms = parent ? parent.#openNorms : noNorms(this.shape);
    if (parent) this.#openNormsAtTruncation = parent.#openNormsAtTruncation;
    this.#length = parent?.length ?? 0;
    this.#reserved = this.#length;
    if ('pool' in options) pool.hold();
  }

  /**
   * A cache that holds the same keys, and goes on by itself: the two share every page that is there, and the one that
   * writes into the last one first copies it. Throws `cache-out-of-memory`, and `invalid-argument` while keys are reserved.
   */
  fork({ onTruncate }: Pick<CacheOptions, 'onTruncate'> = {}): KvCache {
    this.assertAlive();
    invariant(this.#reserved === this.#length, () => ({
      code: 'invalid-argument',
      problem: 'A cache is forked when all of its keys are committed.',
      found: `${this.#length} of ${this.#reserved} keys`,
      remedy: 'Commit them, or truncate the cache to its length.',
    }));
    const { onTruncate: _, ...options } = this.#options;
    return new KvCache({ ...options, ...(onTruncate && { onTruncate }) }, this);
  }

  /** Whether threads can share the memory. */
  get shared(): boolean {
    return this.#pool.shared;
  }

  /** Keys that the cache holds. */
  get length(): number {
    return this.#length;
  }

  /** Keys that there is room for: those of the cache, and the reserved ones behind them. */
  get reserved(): number {
    return this.#reserved;
  }

  /** Bytes of pages and page tables, those included that other caches read too. */
  get bytes(): number {
    return this.#pages.bytes;
  }

  /** The regions of the pool so far. Only a failed `reserve` takes back those that it had added. */
  get regions(): readonly Region[] {
    return this.#pool.regions;
  }

  /** Makes room for `count` keys behind those that are there. Throws when there is none, and then changes nothing. */
  reserve(count: number): void {
    this.assertAlive();
    invariant(Number.isSafeInteger(count) && count >= 0, () => ({
      code: 'invalid-argument',
      problem: 'Room is reserved for a whole number of keys.',
      found: count,
      remedy: 'Give the number of tokens that come next.',
    }));
    const requested = this.#length + count;
    invariant(requested <= this.capacity, () => ({
      code: 'cache-full',
      problem: `The cache holds at most ${this.capacity} keys.`,
      found: requested,
      remedy: 'Create it with a larger capacity, or truncate it first.',
    }));
    const before = this.#pages.count;
    this.#pages.grow(pagesFor(requested));
    const page = Math.floor(this.#length / PAGE_KEYS);
    // A page that has rows already may be another cache's too, or closed.
    if (count > 0 && this.#length % PAGE_KEYS > 0) {
      try {
        this.#pages.own(page, (rows) => this.#dequantizePage(page, rows));
      } catch (error) {
        this.#pages.shrink(before);
        throw error;
      }
    }
    this.#reserved = Math.max(this.#reserved, requested);
  }

  /**
   * Writes the keys and values of one layer at reserved positions from `position` on.
   * `keys` and `values` are (count, keyValueHeads, headDim).
   * Throws `not-a-number` when a number in them is not finite in the cache's precision.
   */
  write(layer: number, position: number, keys: Float32Array, values: Float32Array): void {
    this.assertAlive();
    const { keyValueHeads, headDim, layers } = this.shape;
    const count = keys.length / (keyValueHeads * headDim);
    invariant(
      Number.isSafeInteger(count) &&
        values.length === keys.length &&
        Number.isInteger(layer) &&
        layer >= 0 &&
        layer < layers,
      () => ({
        code: 'invalid-argument',
        problem: `Keys and values are (count, ${keyValueHeads}, ${headDim}), of one of ${layers} layers.`,
        found: `layer ${layer}, ${keys.length} and ${values.length} numbers`,
        remedy: 'Pass both arrays whole and of the same length.',
      }),
    );
    const isReserved = Number.isSafeInteger(position) && position >= this.#length && position + count <= this.#reserved;
    invariant(isReserved, () => ({
      code: 'invalid-argument',
      problem: 'Keys are written behind the cache, where room was reserved.',
      found: `positions ${position} to ${position + count}, of ${this.#length} to ${this.#reserved}`,
      remedy: 'Call reserve first; call truncate to replace keys that are there.',
    }));
    for (let head = 0; head < keyValueHeads; head++) {
      for (let done = 0; done < count; ) {
        const rowsInPage = Math.min(count - done, PAGE_KEYS - ((position + done) % PAGE_KEYS));
        this.#writeRows('keys', layer, head, position + done, keys, done, rowsInPage);
        this.#writeRows('values', layer, head, position + done, values, done, rowsInPage);
        done += rowsInPage;
        if ((position + done) % PAGE_KEYS === 0) this.#quantizePage(layer, head, (position + done) / PAGE_KEYS - 1);
      }
    }
  }

  /** Makes the keys before `length`, reserved and written, part of the cache. */
  commit(length: number): void {
    this.assertAlive();
    invariant(Number.isSafeInteger(length) && length >= this.#length && length <= this.#reserved, () => ({
      code: 'invalid-argument',
      problem: 'Only keys that were reserved can be committed.',
      found: `${length}, of ${this.#length} to ${this.#reserved}`,
      remedy: 'Reserve and write them first.',
    }));
    this.#length = length;
    this.#pages.close(Math.floor(length / PAGE_KEYS));
    const open = this.#pages.pages[Math.floor(length / PAGE_KEYS)];
    if (open !== undefined) this.#openNorms = open.norms.slice();
  }

  /**
   * Forgets the keys from `length` on, and what was reserved and written behind them. In an int8 cache a full page that is
   * cut has its rows dequantized when more are written behind them.
   */
  truncate(length: number): void {
    this.assertAlive();
    invariant(Number.isSafeInteger(length) && length >= 0 && length <= this.#length, () => ({
      code: 'invalid-argument',
      problem: 'A cache is truncated to a length from 0 to its own.',
      found: `${length}, of ${this.#length}`,
      remedy: 'Give a number of keys that it holds.',
    }));
    const isCut = length < this.#length;
    this.#length = length;
    this.#reserved = length;
    this.#pages.shrink(pagesFor(length));
    this.#truncateNorms(length, isCut);
    this.#options.onTruncate?.(length);
  }

  /**
   * The norms of a page that is cut stay: bounds that may now be larger than necessary, never smaller. Where the cache is
   * truncated to the same length again and again, they are those of the first time, so that attempts leave nothing behind.
   */
  #truncateNorms(length: number, isCut: boolean): void {
    const open = this.#pages.pages.at(-1);
    if (open !== undefined && length % PAGE_KEYS > 0) {
      const before = isCut ? open.norms : this.#openNorms;
      if (this.#openNormsAtTruncation?.length !== length)
        this.#openNormsAtTruncation = { length, norms: before.slice() };
      this.#openNorms = this.#openNormsAtTruncation.norms;
      open.norms = this.#openNorms.slice();
    }
    this.#norms = noNorms(this.shape);
    for (const { norms } of this.#pages.pages) addNorms(this.#norms, norms);
  }

  /** The rows of one head at positions [from, to), as float32: (to - from, headDim). For tools and tests. */
  read(layer: number, head: number, what: 'keys' | 'values', from: number, to: number): Float32Array {
    this.assertAlive();
    const { headDim, keyValueHeads, layers } = this.shape;
    const inRange =
      [layer, head, from, to].every(Number.isSafeInteger) && from >= 0 && from <= to && to <= this.#reserved;
    invariant(inRange && layer >= 0 && layer < layers && head >= 0 && head < keyValueHeads, () => ({
      code: 'invalid-argument',
      problem: `The cache has ${this.#reserved} positions in ${keyValueHeads} key-value heads of ${layers} layers.`,
      found: `positions ${from} to ${to}, head ${head}, layer ${layer}`,
      remedy: 'Read what has been reserved and written.',
    }));
    const rows = new Float32Array((to - from) * headDim);
    for (const segment of this.#pages.segments(to)) {
      const { arena } = this.#pool.regions[segment.region] as Region;
      const pages = headPages(this.shape, layer, head, segment);
      for (let position = Math.max(from, segment.from); position < segment.to; position++) {
        rows.set(exactRow(arena.views(), pages, what, position), (position - from) * headDim);
      }
    }
    return rows;
  }

  /** The segments that hold the keys at positions [0, n); n may reach into what is reserved. */
  segments(n: number): Segment[] {
    this.assertAlive();
    return this.#pages.segments(n);
  }

  /** Bounds on the norms of a head's keys and values, committed or not. */
  norms(layer: number, head: number): HeadNorms {
    this.assertAlive();
    // By index: every layer of every token asks.
    const at = (layer * this.shape.keyValueHeads + head) * 4;
    const norms = this.#norms;
    return {
      keys: Math.sqrt(norms[at] as number) * this.#roundingMargins.keys + SUBNORMAL_MARGIN,
      values: Math.sqrt(norms[at + 1] as number) * this.#roundingMargins.values + SUBNORMAL_MARGIN,
      rmsValue: Math.sqrt((norms[at + 2] as number) / Math.max(1, norms[at + 3] as number)),
    };
  }

  /**
   * Lets go of the pages: those that no other cache reads are free. The cache is of no use afterwards; disposing again does
   * nothing.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#length = 0;
    this.#reserved = 0;
    this.#pages.dispose();
    this.#pool.letGo();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Throws `disposed` once the cache has been disposed of. */
  assertAlive(): void {
    invariant(!this.#disposed, () => ({
      code: 'disposed',
      problem: 'The cache has been disposed of.',
      remedy: 'Create another one.',
    }));
  }

  /** Where the rows of a head in a page lie, keys or values, that are written one by one. */
  #rowAddress(layer: number, head: number, what: 'keys' | 'values', position: number) {
    const { headDim } = this.shape;
    const { slab, rows } = this.#pages.pages[Math.floor(position / PAGE_KEYS)] as Page;
    const exactOffset = exactOffsetOf(this.shape, layer, head, rows !== undefined);
    const row = (position % PAGE_KEYS) + (what === 'values' ? PAGE_KEYS : 0);
    return (rows ?? slab).address + exactOffset + row * rowBytes(headDim, openPrecision(this.shape));
  }

  /** Writes rows of one head into a page; `numbers` is (count, keyValueHeads, headDim), read from row `first` on. */
  #writeRows(
    what: 'keys' | 'values',
    layer: number,
    head: number,
    position: number,
    numbers: Float32Array,
    first: number,
    count: number,
  ): void {
    const { keyValueHeads: heads, headDim } = this.shape;
    const { slab, norms } = this.#pages.pages[Math.floor(position / PAGE_KEYS)] as Page;
    const { arena, staging } = this.#pool.regions[slab.region] as Region;
    const address = this.#rowAddress(layer, head, what, position);
    const rows = { numbers, heads, head, headDim, first, count };
    const written = { count, ...writeExactRows(arena, staging, address, rows, openPrecision(this.shape)) };
    const headIndex = layer * heads + head;
    if (position % PAGE_KEYS === 0) forgetRows(norms, headIndex, what);
    addRows(norms, headIndex, what, written);
    addRows(this.#norms, headIndex, what, written);
  }

  /** Writes the encodings of a page whose rows are all there. */
  #quantizePage(layer: number, head: number, page: number): void {
    if (this.shape.encodings.length === 0) return;
    const { arena, staging } = this.#regionOf(page);
    const pages = headPages(this.shape, layer, head, this.#segmentOf(page));
    const quantized = arena.kernels.quantizePage(pages, page, staging);
    invariant(quantized, () => ({
      code: 'not-a-number',
      problem: `Among the keys and values of head ${head} are numbers too large for the encodings of its page.`,
      found: `norms up to ${this.norms(layer, head).keys} and ${this.norms(layer, head).values}`,
      remedy: "Check the model's weights and activations for NaN or overflow.",
    }));
  }

  /** Dequantizes the rows of a closed page into a block. */
  #dequantizePage(page: number, target: Block): void {
    const { layers, keyValueHeads, headDim } = this.shape;
    const region = this.#regionOf(page);
    const { kernels, views } = region.arena;
    const indices = region.staging;
    const dequantized = indices + PAGE_KEYS * 4;
    const scratch = dequantized + PAGE_KEYS * rotatedDim(headDim) * 4;
    const rows = decodedRows(this.shape, region);
    const segment = this.#segmentOf(page);
    const targetViews = (this.#pool.regions[target.region] as Region).arena.views();
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < keyValueHeads; head++) {
        const pages = headPages(this.shape, layer, head, segment);
        for (const [i, what] of (['keys', 'values'] as const).entries()) {
          for (let j = 0; j < PAGE_KEYS; j++) views().i32[indices / 4 + j] = page * PAGE_KEYS + j;
          kernels.dequantizeRows(pages, what, indices, PAGE_KEYS, dequantized, scratch);
          kernels.inverseRotate(dequantized, PAGE_KEYS, headDim, rows, scratch);
          const offset = exactOffsetOf(this.shape, layer, head, true) + i * PAGE_KEYS * rowBytes(headDim, 'f32');
          const decoded = views().f32.subarray(rows / 4, rows / 4 + PAGE_KEYS * headDim);
          targetViews.f32.set(decoded, (target.address + offset) / 4);
        }
      }
    }
  }

  #regionOf(page: number): Region {
    return this.#pool.regions[(this.#pages.pages[page] as Page).slab.region] as Region;
  }

  /** The segment of a page. */
  #segmentOf(page: number): Segment {
    return this.#pages.segments((page + 1) * PAGE_KEYS).at(-1) as Segment;
  }
}

/**
 * Addresses of one head's pages in a segment: those with rows in the precision of the cache, or the `open` ones of an int8
 * cache.
 */
export function headPages(
  shape: CacheShape,
  layer: number,
  head: number,
  { table, openTable, open }: Pick<Segment, 'table' | 'openTable' | 'open'>,
): Pages {
  const layout = layoutOf(shape);
  const headOffset = (layer * shape.keyValueHeads + head) * layout.bytes;
  const exactOffset = exactOffsetOf(shape, layer, head, open);
  const storedPrecision = shape.precision;
  if (!open) return { ...layout, table, headOffset, exactTable: table, exactOffset, storedPrecision };
  return { ...layout, precision: 'f32', table, headOffset, exactTable: openTable, exactOffset, storedPrecision };
}

/** Offset of one head's rows in a slab, or in the block of an open page of an int8 cache. */
function exactOffsetOf(shape: CacheShape, layer: number, head: number, open: boolean): number {
  const headIndex = layer * shape.keyValueHeads + head;
  return headIndex * (open ? exactPageBytes(shape.headDim, 'f32') : layoutOf(shape).bytes);
}

/**
 * Factors by which storing may lengthen keys and values, relative to the longest. An int8 row y is off by half a step of
 * max |y| / 128 in each dimension, the step rounded up by 2^-7. Keys are stored relative to a centre, their mean in 127
 * steps, so their y is at most twice as long as the longest key, plus what rounding added to that.
 */
function roundingMargins({ headDim, precision }: CacheShape): { keys: number; values: number } {
  if (precision !== 'int8') return { keys: ROUNDING_MARGIN, values: ROUNDING_MARGIN };
  const sqrtDim = Math.sqrt(rotatedDim(headDim));
  const quantizationError = ((1 + 2 ** -7) * sqrtDim) / 256;
  const centerError = sqrtDim / 254;
  return {
    keys: (1 + quantizationError * (2 + centerError)) * ROUNDING_MARGIN,
    values: (1 + quantizationError) * ROUNDING_MARGIN,
  };
}
