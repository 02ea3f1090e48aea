/**
 * The paged key-value cache. Keys and values of all layers and key-value heads lie in slabs: slab p holds page p of
 * every head, one after the other, so a cache grows by allocating the next slab and never copies what is there. Slabs
 * lie in regions, one an arena of at most 4 GiB, and a cache takes another region when one is full.
 *
 * Appending has three steps, so that nothing is ever half there: `reserve` finds the room and may fail, `write` fills
 * it layer by layer, `commit` makes it part of the cache. Without a commit the cache is what it was.
 */
import { invariant, KeysieveError } from '../errors.ts';
import type { Pages } from '../kernels/kernels.ts';
import { exactPageBytes, PAGE_KEYS, type Precision, pagesFor, rowBytes } from '../kernels/layout.ts';
import { createWasmKernels } from '../kernels/wasm/wasm-kernels.ts';
import { type Arena, createArena, type KernelsFactory, LARGEST_ARENA_BYTES } from './arena.ts';
import { readExact, writeExact } from './planes/exact.ts';
import { type CacheShape, checkPositiveInteger, checkShape } from './shape.ts';

export interface KvCacheOptions {
  layers: number;
  keyValueHeads: number;
  /** Dimension of a head: a multiple of 8, at most 256. */
  headDim: number;
  /** Most keys that the cache will hold. Memory is taken as keys arrive, not at once. */
  capacity: number;
  /** Precision of the exact plane. Default: `f16`. */
  precision?: Precision;
  /** Bytes at which the cache is full, all arenas together. Default: no limit but the machine's. */
  memoryLimit?: number;
  /** Most bytes of one arena, at most 4 GiB. Default: 4 GiB. */
  arenaBytes?: number;
  /** Whether threads share the memory. Default: where the platform has SharedArrayBuffer. */
  shared?: boolean;
  /** Arithmetic. Default: WebAssembly. */
  createKernels?: KernelsFactory;
  /** Called with each region when it is made, before keys go into it: what shall lie beside them is allocated here. */
  onRegion?: (region: Region) => void;
}

/** An arena of the cache, with its page table (pages of the whole cache) of uint32 and the slabs that lie in it. */
export interface Region {
  readonly arena: Arena;
  readonly table: number;
}

/** Consecutive keys of a cache that lie in one region: positions [from, to). `from` opens a page. */
export interface Segment {
  /** Index in the cache's `regions`. */
  region: number;
  from: number;
  to: number;
}

interface GrowingRegion extends Region {
  /** Room for the rows of one page (64, d) of float32, on their way into a plane. */
  readonly staging: number;
  firstPage: number;
  readonly slabs: number[];
}

/** Bounds on the norms of the keys and values of one head: none in the cache is larger. */
export interface HeadNorms {
  keys: number;
  values: number;
}

/** Rounding to float16 may lengthen a row by a factor of 1 + 2^-11; subnormals by 2^-25 a number. */
const ROUNDING_MARGIN = 1 + 2 ** -10;
const SUBNORMAL_MARGIN = 2 ** -20;

export class KvCache {
  readonly shape: CacheShape;
  readonly capacity: number;
  /** Whether threads can share the memory. */
  readonly shared: boolean;
  readonly #memoryLimit: number;
  readonly #arenaBytes: number;
  readonly #createKernels: KernelsFactory;
  readonly #onRegion: ((region: Region) => void) | undefined;
  readonly #slabBytes: number;
  readonly #regions: GrowingRegion[] = [];
  /** Largest squared norms: (layers, keyValueHeads, 2). */
  readonly #squaredNorms: Float64Array;
  #length = 0;
  #reserved = 0;
  #disposed = false;

  constructor(options: KvCacheOptions) {
    const { layers, keyValueHeads, headDim, precision = 'f16' } = options;
    this.shape = { layers, keyValueHeads, headDim, precision };
    checkShape(this.shape);
    checkPositiveInteger('capacity', options.capacity);
    this.capacity = options.capacity;
    this.shared = options.shared ?? typeof SharedArrayBuffer !== 'undefined';
    this.#memoryLimit = options.memoryLimit ?? Number.POSITIVE_INFINITY;
    this.#arenaBytes = Math.min(options.arenaBytes ?? LARGEST_ARENA_BYTES, LARGEST_ARENA_BYTES);
    this.#createKernels = options.createKernels ?? createWasmKernels;
    this.#onRegion = options.onRegion;
    this.#slabBytes = layers * keyValueHeads * exactPageBytes(headDim, precision);
    this.#squaredNorms = new Float64Array(layers * keyValueHeads * 2);
    this.#addRegion();
  }

  /** Keys that the cache holds. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that have been taken: slabs, page tables, and what attention has allocated in the arenas. */
  get bytes(): number {
    return this.#regions.reduce((sum, { arena }) => sum + arena.usedBytes, 0);
  }

  /** The regions so far. Regions are added, never taken away or reordered. */
  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** Makes room for `count` keys behind those that are there. Throws when there is none, and then changes nothing. */
  reserve(count: number): void {
    this.#assertAlive();
    invariant(Number.isSafeInteger(count) && count >= 0, () => ({
      code: 'invalid-argument',
      problem: 'Room is reserved for a whole number of keys.',
      found: count,
      remedy: 'Give the number of tokens that come next.',
    }));
    const wanted = this.#length + count;
    invariant(wanted <= this.capacity, () => ({
      code: 'cache-full',
      problem: `The cache holds at most ${this.capacity} keys.`,
      found: wanted,
      remedy: 'Create it with a larger capacity, or truncate it first.',
    }));
    const before = this.#pages();
    try {
      while (this.#pages() < pagesFor(wanted)) this.#addSlab();
    } catch (error) {
      this.#releaseSlabs(before);
      throw error;
    }
    this.#reserved = Math.max(this.#reserved, wanted);
  }

  /**
   * Writes the keys and values of one layer at reserved positions from `position` on.
   * `keys` and `values` are (count, keyValueHeads, headDim).
   * Throws `not-a-number` when a number in them is not finite in the cache's precision.
   */
  write(layer: number, position: number, keys: Float32Array, values: Float32Array): void {
    this.#assertAlive();
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
    invariant(position >= this.#length && position + count <= this.#reserved, () => ({
      code: 'invalid-argument',
      problem: 'Keys are written behind the cache, where room was reserved.',
      found: `positions ${position} to ${position + count}, of ${this.#length} to ${this.#reserved}`,
      remedy: 'Call reserve first; call truncate to replace keys that are there.',
    }));
    for (let head = 0; head < keyValueHeads; head++) {
      for (let done = 0; done < count; ) {
        const some = Math.min(count - done, PAGE_KEYS - ((position + done) % PAGE_KEYS));
        this.#writeRows('keys', layer, head, position + done, keys, done, some);
        this.#writeRows('values', layer, head, position + done, values, done, some);
        done += some;
      }
    }
  }

  /** Makes the keys before `length`, reserved and written, part of the cache. */
  commit(length: number): void {
    this.#assertAlive();
    invariant(length >= this.#length && length <= this.#reserved, () => ({
      code: 'invalid-argument',
      problem: 'Only keys that were reserved can be committed.',
      found: `${length}, of ${this.#length} to ${this.#reserved}`,
      remedy: 'Reserve and write them first.',
    }));
    this.#length = length;
  }

  /** Forgets the keys from `length` on, and what was reserved behind them. */
  truncate(length: number): void {
    this.#assertAlive();
    invariant(Number.isSafeInteger(length) && length >= 0 && length <= this.#length, () => ({
      code: 'invalid-argument',
      problem: 'A cache is cut to a length between 0 and its own.',
      found: `${length}, of ${this.#length}`,
      remedy: 'Give a number of keys that it holds.',
    }));
    this.#length = length;
    this.#reserved = length;
    this.#releaseSlabs(pagesFor(length));
    // The norms stay: bounds that may now be larger than need be, never smaller.
    if (length === 0) this.#squaredNorms.fill(0);
  }

  /** The rows of one head at positions [from, to), as float32: (to - from, headDim). For tools and tests. */
  read(layer: number, head: number, what: 'keys' | 'values', from: number, to: number): Float32Array {
    this.#assertAlive();
    const { headDim, precision } = this.shape;
    const rows = new Float32Array((to - from) * headDim);
    for (let position = from; position < to; position++) {
      const { region, address } = this.#rowAddress(layer, head, what, position);
      readExact(region.arena, address, precision, rows.subarray((position - from) * headDim).subarray(0, headDim));
    }
    return rows;
  }

  /** The segments that hold the keys at positions [0, n); n may reach into what is reserved. */
  segments(n: number): Segment[] {
    const segments: Segment[] = [];
    for (const [region, { firstPage, slabs }] of this.#regions.entries()) {
      const from = firstPage * PAGE_KEYS;
      const to = Math.min(n, (firstPage + slabs.length) * PAGE_KEYS);
      if (slabs.length > 0 && to > from) segments.push({ region, from, to });
    }
    return segments;
  }

  /** Bounds on the norms of a head's keys and values. */
  norms(layer: number, head: number): HeadNorms {
    const at = (layer * this.shape.keyValueHeads + head) * 2;
    const bound = (squared: number) => Math.sqrt(squared) * ROUNDING_MARGIN + SUBNORMAL_MARGIN;
    return { keys: bound(this.#squaredNorms[at] as number), values: bound(this.#squaredNorms[at + 1] as number) };
  }

  /** Frees the memory. The cache is of no use afterwards; disposing again does nothing. */
  dispose(): void {
    this.#disposed = true;
    this.#regions.length = 0;
    this.#length = 0;
    this.#reserved = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #assertAlive(): void {
    invariant(!this.#disposed, () => ({
      code: 'disposed',
      problem: 'The cache has been disposed of.',
      remedy: 'Create another one.',
    }));
  }

  /** The region that grows: the last one with slabs in it. */
  #growing(): number {
    const last = this.#regions.findLastIndex(({ slabs }) => slabs.length > 0);
    return Math.max(last, 0);
  }

  #pages(): number {
    const { firstPage, slabs } = this.#regions[this.#growing()] as GrowingRegion;
    return firstPage + slabs.length;
  }

  #addRegion(): GrowingRegion {
    const arena = createArena({ limit: this.#arenaBytes, shared: this.shared, createKernels: this.#createKernels });
    const table = arena.allocate(pagesFor(this.capacity) * 4);
    const staging = arena.allocate(PAGE_KEYS * this.shape.headDim * 4);
    if (table === undefined || staging === undefined) throw outOfMemory(`an arena of ${this.#arenaBytes} bytes`);
    const region: GrowingRegion = { arena, table, staging, firstPage: 0, slabs: [] };
    this.#onRegion?.(region);
    this.#regions.push(region);
    return region;
  }

  #addSlab(): void {
    if (this.bytes + this.#slabBytes > this.#memoryLimit) throw outOfMemory(`a limit of ${this.#memoryLimit} bytes`);
    const page = this.#pages();
    const growing = this.#growing();
    if (this.#placeSlab(this.#regions[growing] as GrowingRegion, page)) return;
    if (this.#placeSlab(this.#regions[growing + 1] ?? this.#addRegion(), page)) return;
    throw outOfMemory(`${this.bytes} bytes in arenas of at most ${this.#arenaBytes}`);
  }

  /** Puts the slab of `page` into a region; false where it has no room. */
  #placeSlab(region: GrowingRegion, page: number): boolean {
    const address = region.arena.allocate(this.#slabBytes);
    if (address === undefined) return false;
    if (region.slabs.length === 0) region.firstPage = page;
    region.slabs.push(address);
    region.arena.views().u32[region.table / 4 + page] = address;
    return true;
  }

  #releaseSlabs(pages: number): void {
    while (this.#pages() > pages) {
      const { arena, slabs } = this.#regions[this.#growing()] as GrowingRegion;
      arena.free(slabs.pop() as number, this.#slabBytes);
    }
  }

  #rowAddress(layer: number, head: number, what: 'keys' | 'values', position: number) {
    const { headDim, precision } = this.shape;
    const page = Math.floor(position / PAGE_KEYS);
    const region = this.#regions.findLast(({ firstPage, slabs }) => slabs.length > 0 && firstPage <= page);
    const slab = region?.slabs[page - region.firstPage];
    invariant(region !== undefined && slab !== undefined, () => ({
      code: 'invalid-argument',
      problem: 'The cache has no such position.',
      found: position,
      remedy: `Give a position below ${this.#reserved}.`,
    }));
    const { headOffset } = pagesOfHead(this.shape, layer, head, 0);
    const row = (position % PAGE_KEYS) + (what === 'values' ? PAGE_KEYS : 0);
    return { region, address: slab + headOffset + row * rowBytes(headDim, precision) };
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
    const { keyValueHeads: heads, headDim, precision } = this.shape;
    const { region, address } = this.#rowAddress(layer, head, what, position);
    const rows = { numbers, heads, head, headDim, first, count };
    const squared = writeExact(region.arena, region.staging, address, rows, precision);
    const at = (layer * heads + head) * 2 + (what === 'values' ? 1 : 0);
    this.#squaredNorms[at] = Math.max(this.#squaredNorms[at] as number, squared);
  }
}

/** Where one head's pages lie, by the page table of a region. */
export function pagesOfHead(shape: CacheShape, layer: number, head: number, table: number): Pages {
  const { keyValueHeads, headDim, precision } = shape;
  return { table, headOffset: (layer * keyValueHeads + head) * exactPageBytes(headDim, precision), headDim, precision };
}

function outOfMemory(found: string): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: 'There is no memory for another page of keys and values.',
    found,
    remedy: 'Use a shorter prompt, keep the cache in f16, raise memoryLimit, or dispose of other caches.',
  });
}
