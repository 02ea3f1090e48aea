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
import { PAGE_KEYS, pagesFor, rowBytes } from '../kernels/layout.ts';
import { type CachePoolOptions, createCachePool } from './cache-pool.ts';
import { writeExactRows } from './exact-rows.ts';
import { dequantizePage, exactOffsetOf, headPages, type LayerRows, pageRows } from './head-pages.ts';
import { addNorms, addRows, forgetRows, type HeadNorms, headNorms, noNorms, type PageNorms } from './norms.ts';
import { checkPage, holdPage, type PageBytes, readPage, type SharedPage, writePage } from './page-bytes.ts';
import { type CacheMemory, createPageList, type Page, type PageList, type Segment } from './page-list.ts';
import { type CacheShape, checkCapacity, checkPositiveInteger, openPrecision } from './shape.ts';
import type { Block, Region, SlabPool } from './slab-pool.ts';

/** What a cache has of its own beside the others of its pool. */
export interface CacheOptions {
  /** Maximum number of keys. Memory is taken as keys arrive, not at once. */
  capacity: number;
  /** Bytes at which the cache is full: `KvCache.bytes` stays below. Default: no limit but the machine's. */
  memoryLimit?: number | undefined;
  /**
   * Keys that a position sees, the last up to its own: pages that no later position sees are given back when keys are
   * committed. Default: all.
   */
  window?: number | undefined;
  /** Called when the cache was truncated to `length` keys, for state that is kept beside it. */
  onTruncate?: ((length: number) => void) | undefined;
}

/** The sizes of a cache, and where its memory ends. */
export interface KvCacheOptions extends CachePoolOptions, CacheOptions {}

/** Keys and values of all layers, in pages. Throws `disposed` from every method once it has been disposed of. */
export class KvCache {
  readonly shape: CacheShape;
  readonly capacity: number;
  readonly #options: CacheOptions & { pool: SlabPool };
  readonly #pool: SlabPool;
  readonly #pages: PageList;
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
    const { capacity, memoryLimit = Number.POSITIVE_INFINITY, window, onTruncate } = options;
    checkCapacity(capacity);
    if (memoryLimit !== Number.POSITIVE_INFINITY) checkPositiveInteger('memoryLimit', memoryLimit);
    const pool = 'pool' in options ? options.pool : createCachePool(options);
    this.shape = pool.shape;
    this.capacity = capacity;
    this.#options = { pool, capacity, memoryLimit, window, ...(onTruncate && { onTruncate }) };
    this.#pool = pool;
    this.#pages = parent ? parent.#pages.fork() : createPageList({ pool, capacity: pagesFor(capacity), memoryLimit });
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

  /** Where its pages come from. */
  get pool(): SlabPool {
    return this.#pool;
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

  /** The first key that is still there: 0, unless a window has moved past keys. */
  get firstKey(): number {
    return this.#pages.forgotten * PAGE_KEYS;
  }

  /** The smallest length but 0 that the cache can be truncated to: of shorter ones the window has forgotten keys. */
  get minLength(): number {
    const { window = 1 } = this.#options;
    return this.#pages.forgotten === 0 ? 0 : this.firstKey + window - 1;
  }

  /** Bytes of pages and page tables, those included that other caches read too. */
  get bytes(): number {
    return this.#pages.bytes;
  }

  /** `bytes`, by who else reads them. */
  get memory(): CacheMemory {
    return this.#pages.memory;
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
    this.#checkCapacity(requested);
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
    this.#forgetUnseen();
  }

  /** Lets go of the pages that no later position sees. */
  #forgetUnseen(): void {
    const { window } = this.#options;
    if (window === undefined) return;
    this.#pages.forget(Math.floor(Math.max(0, this.#length + 1 - window) / PAGE_KEYS));
  }

  /**
   * Forgets the keys from `length` on, and what was reserved and written behind them. In an int8 cache a full page that is
   * cut has its rows dequantized when more are written behind them. Throws `invalid-argument` for a length below
   * `minLength`, other than 0.
   */
  truncate(length: number): void {
    this.assertAlive();
    invariant(Number.isSafeInteger(length) && length >= 0 && length <= this.#length, () => ({
      code: 'invalid-argument',
      problem: 'A cache is truncated to a length from 0 to its own.',
      found: `${length}, of ${this.#length}`,
      remedy: 'Give a number of keys that it holds.',
    }));
    invariant(length === 0 || length >= this.minLength, () => ({
      code: 'invalid-argument',
      problem: 'The window has moved past keys that would be seen again.',
      found: `a cut to ${length} keys`,
      remedy: `Truncate to ${this.minLength} keys or more, or to none.`,
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
   * truncated to the same length again and again, they are those of the first time, so that attempts leave nothing behind:
   * until it is cut below that length, since other rows may follow there.
   */
  #truncateNorms(length: number, isCut: boolean): void {
    if (length < (this.#openNormsAtTruncation?.length ?? 0)) this.#openNormsAtTruncation = undefined;
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

  /** A copy of a page: its committed keys, as they lie. Throws `invalid-argument` where there are none. */
  copyPage(page: number): PageBytes {
    const keys = Math.min(PAGE_KEYS, this.#length - page * PAGE_KEYS);
    return readPage(this.#pool, this.#pageWith(page, 1), keys);
  }

  /**
   * The committed rows of a page by layer, as `write` takes them: exact ones, or what the encodings of a full page of an int8
   * cache stand for. Throws `invalid-argument` where there are none.
   */
  pageRows(page: number): LayerRows[] {
    const { slab, rows } = this.#pageWith(page, 1);
    return pageRows(this.shape, this.#regionOf(page), this.#segmentOf(page), page, {
      address: (rows ?? slab).address,
      count: Math.min(PAGE_KEYS, this.#length - page * PAGE_KEYS),
    });
  }

  /** A full page, held until `releasePage`, for other caches of the pool. Throws `invalid-argument` where it is not full. */
  holdPage(page: number): SharedPage {
    return holdPage(this.#pool, this.#pageWith(page, PAGE_KEYS));
  }

  /**
   * Appends full pages that were held, without copying them. The cache must end with a full page. Throws
   * `invalid-argument`, `cache-full` and `cache-out-of-memory`, and then changes nothing.
   */
  sharePages(pages: readonly SharedPage[]): void {
    this.#checkAppendsPages(pages.length * PAGE_KEYS);
    invariant(
      pages.every(({ pool }) => pool === this.#pool),
      () => ({
        code: 'invalid-argument',
        problem: 'Caches share the pages of one pool.',
        remedy: 'Append a copy of the page.',
      }),
    );
    this.#pages.share(pages.map(({ page }) => page));
    this.#addPages(pages.length * PAGE_KEYS);
  }

  /**
   * Appends a copy of a page of a cache of this shape. The cache must end with a full page. Throws as `sharePages` does, and
   * `invalid-argument` where the page is of another shape.
   */
  appendPage(source: PageBytes): void {
    checkPage(this.shape, source);
    const { keys } = source;
    this.#checkAppendsPages(keys);
    this.#pages.grow(this.#pages.count + 1);
    writePage(this.#pool, this.#pages.pages.at(-1) as Page, source);
    this.#addPages(keys);
  }

  #pageWith(page: number, keys: number): Page {
    this.assertAlive();
    const isThere = Number.isSafeInteger(page) && page >= this.#pages.forgotten;
    invariant(isThere && page * PAGE_KEYS + keys <= this.#length, () => ({
      code: 'invalid-argument',
      problem: `The cache has the keys at positions ${this.firstKey} to ${this.#length}, in pages of ${PAGE_KEYS}.`,
      found: `page ${page}`,
      remedy: 'Give a page that it holds.',
    }));
    return this.#pages.pages[page] as Page;
  }

  #checkAppendsPages(keys: number): void {
    this.assertAlive();
    invariant(this.#length % PAGE_KEYS === 0 && this.#reserved === this.#length, () => ({
      code: 'invalid-argument',
      problem: 'Pages are appended to a cache that ends with a full page.',
      found: `${this.#length} keys, and room for ${this.#reserved}`,
      remedy: 'Truncate it to a multiple of 64 first.',
    }));
    this.#checkCapacity(this.#length + keys);
  }

  #checkCapacity(requested: number): void {
    invariant(requested <= this.capacity, () => ({
      code: 'cache-full',
      problem: `The cache holds at most ${this.capacity} keys.`,
      found: requested,
      remedy: 'Create it with a larger capacity, or truncate it first.',
    }));
  }

  /** Makes the pages behind the cache, with `keys` keys, part of it. */
  #addPages(keys: number): void {
    const from = this.#length / PAGE_KEYS;
    for (const { norms } of this.#pages.pages.slice(from)) addNorms(this.#norms, norms);
    this.#reserved = this.#length + keys;
    this.commit(this.#reserved);
  }

  /** The rows of one head at positions [from, to), as float32: (to - from, headDim). For tools and tests. */
  read(layer: number, head: number, what: 'keys' | 'values', from: number, to: number): Float32Array {
    this.assertAlive();
    const { headDim, keyValueHeads, layers } = this.shape;
    const { firstKey } = this;
    const inRange =
      [layer, head, from, to].every(Number.isSafeInteger) && from >= firstKey && from <= to && to <= this.#reserved;
    invariant(inRange && layer >= 0 && layer < layers && head >= 0 && head < keyValueHeads, () => ({
      code: 'invalid-argument',
      problem: `The cache has positions ${firstKey} to ${this.#reserved} in ${keyValueHeads} key-value heads of ${layers} layers.`,
      found: `positions ${from} to ${to}, head ${head}, layer ${layer}`,
      remedy: 'Read what has been reserved and written.',
    }));
    const rows = new Float32Array((to - from) * headDim);
    for (const segment of this.#pages.segments(to)) {
      const { arena, bases } = this.#pool.regions[segment.region] as Region;
      const pages = headPages(this.shape, layer, head, segment, bases);
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
    return headNorms(this.shape, this.#norms, layer * this.shape.keyValueHeads + head);
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
    const { arena, staging, bases } = this.#regionOf(page);
    const pages = headPages(this.shape, layer, head, this.#segmentOf(page), bases);
    const quantized = arena.kernels.quantizePage(pages, page, staging);
    invariant(quantized, () => ({
      code: 'not-a-number',
      problem: `Among the keys and values of head ${head} are numbers too large for the encodings of its page.`,
      found: `norms up to ${this.norms(layer, head).keys} and ${this.norms(layer, head).values}`,
      remedy: "Check the model's weights and activations for NaN or overflow.",
    }));
  }

  /** Dequantizes the rows of a closed page into a block. */
  #dequantizePage(page: number, { region, address }: Block): void {
    const target = (this.#pool.regions[region] as Region).arena.views().f32.subarray(address / 4);
    dequantizePage(this.shape, this.#regionOf(page), this.#segmentOf(page), page, target);
  }

  #regionOf(page: number): Region {
    return this.#pool.regions[(this.#pages.pages[page] as Page).slab.region] as Region;
  }

  /** The segment of a page. */
  #segmentOf(page: number): Segment {
    return this.#pages.segments((page + 1) * PAGE_KEYS).at(-1) as Segment;
  }
}
