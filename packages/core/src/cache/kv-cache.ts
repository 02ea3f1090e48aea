/**
 * The paged key-value cache. Keys and values of all layers and key-value heads lie in slabs: slab p holds page p of
 * every head, one after the other, so a cache grows by allocating the next slab and never copies what is there. Slabs
 * lie in regions, one an arena of at most 4 GiB, and a cache takes another region when one is full.
 *
 * Appending has three steps, so that nothing is ever half there: `reserve` finds the room and may fail, `write` fills
 * it layer by layer, `commit` makes it part of the cache. Without a commit the cache is what it was.
 */
import { invariant } from '../errors.ts';
import { exactRow } from '../kernels/exact-rows.ts';
import type { Pages } from '../kernels/kernels.ts';
import {
  completeEncodings,
  type Encoding,
  exactPageBytes,
  PAGE_KEYS,
  type Precision,
  pagesFor,
  rotatedDim,
  rowBytes,
} from '../kernels/layout.ts';
import { quantizeScratchBytes } from '../kernels/quantized-kernels.ts';
import { createWasmKernels } from '../kernels/wasm/wasm-kernels.ts';
import { type KernelsFactory, MAX_ARENA_BYTES } from './arena.ts';
import { writeExactRows } from './exact-rows.ts';
import {
  type CacheShape,
  checkPositiveInteger,
  checkShape,
  layoutOf,
  openBytesOf,
  openPrecision,
  slabBytesOf,
} from './shape.ts';
import { createSlabs, type Region, type Segment, type Slabs } from './slabs.ts';

/** The sizes of a cache, and where its memory ends. */
export interface KvCacheOptions {
  layers: number;
  keyValueHeads: number;
  /** Dimension of a head: a multiple of 8, at most 256. */
  headDim: number;
  /** Maximum number of keys. Memory is taken as keys arrive, not at once. */
  capacity: number;
  /** How keys and values are kept: see `Precision`. Default: `f16`. */
  precision?: Precision;
  /** Encodings beside the exact rows, for selectors and tails that read them. Default: none. */
  encodings?: readonly Encoding[];
  /** Bytes at which the cache is full, all arenas together. Default: no limit but the machine's. */
  memoryLimit?: number;
  /** Maximum number of bytes of one arena, at most 4 GiB. Default: 4 GiB. */
  arenaBytes?: number;
  /** Whether threads share the memory. Default: where the platform has SharedArrayBuffer. */
  shared?: boolean;
  /** Arithmetic. Default: WebAssembly. */
  createKernels?: KernelsFactory;
  /** Called with each region when it is made, before keys go into it: to allocate what is to be beside them. */
  onRegion?: (region: Region) => void;
  /** Called when the cache was truncated to `length` keys, for state that is kept beside it. */
  onTruncate?: (length: number) => void;
}

/** Bounds on the norms of the keys and values of one head: none in the cache is larger. */
export interface HeadNorms {
  keys: number;
  values: number;
  /** Root mean square of the norms of all values that were written since the cache was empty: for estimates. */
  rmsValue: number;
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
  /** Whether threads can share the memory. */
  readonly shared: boolean;
  readonly #slabs: Slabs;
  readonly #onTruncate: KvCacheOptions['onTruncate'];
  /**
   * Norms of committed rows, and of all that were written, (layers, keyValueHeads, 4) each: the largest squared norms of
   * keys and of values, the sum of the values' squared norms, and their number.
   */
  readonly #squaredNorms: Float64Array;
  readonly #writtenNorms: Float64Array;
  /** Factors by which rounding may lengthen rows. */
  readonly #roundingMargins: { keys: number; values: number };
  /** The norms as they were when the cache was last truncated, and to which length. */
  #normsAtTruncation: { length: number; norms: Float64Array } | undefined;
  #length = 0;
  #reserved = 0;
  #disposed = false;

  /** Throws `invalid-argument` or `cache-out-of-memory`. */
  constructor(options: KvCacheOptions) {
    const { layers, keyValueHeads, headDim, capacity, precision = 'f16', encodings = [] } = options;
    const { memoryLimit = Number.POSITIVE_INFINITY, arenaBytes = MAX_ARENA_BYTES } = options;
    checkShape({ layers, keyValueHeads, headDim, precision, encodings });
    this.shape = { layers, keyValueHeads, headDim, precision, encodings: completeEncodings(encodings, precision) };
    checkPositiveInteger('capacity', capacity);
    invariant(capacity <= MAX_CAPACITY, () => ({
      code: 'invalid-argument',
      problem: `A cache holds at most ${MAX_CAPACITY} keys.`,
      found: capacity,
      remedy: 'Give the longest context that will be used.',
    }));
    checkPositiveInteger('arenaBytes', arenaBytes);
    if (memoryLimit !== Number.POSITIVE_INFINITY) checkPositiveInteger('memoryLimit', memoryLimit);
    this.capacity = capacity;
    this.shared = options.shared ?? typeof SharedArrayBuffer !== 'undefined';
    this.#slabs = createSlabs({
      slabBytes: slabBytesOf(this.shape),
      openBytes: openBytesOf(this.shape),
      capacity: pagesFor(capacity),
      stagingBytes: Math.max(
        PAGE_KEYS * headDim * 4,
        this.shape.encodings.length > 0 ? quantizeScratchBytes(headDim) : 0,
      ),
      arenaBytes,
      memoryLimit,
      shared: this.shared,
      createKernels: options.createKernels ?? createWasmKernels,
      onRegion: options.onRegion,
    });
    this.#onTruncate = options.onTruncate;
    this.#roundingMargins = roundingMargins(this.shape);
    this.#squaredNorms = new Float64Array(layers * keyValueHeads * 4);
    this.#writtenNorms = new Float64Array(layers * keyValueHeads * 4);
  }

  /** Keys that the cache holds. */
  get length(): number {
    return this.#length;
  }

  /** Keys that there is room for: those of the cache, and the reserved ones behind them. */
  get reserved(): number {
    return this.#reserved;
  }

  /** Bytes that have been taken: slabs, page tables, and the buffers that attention has in the arenas. */
  get bytes(): number {
    return this.#slabs.bytes;
  }

  /** The regions so far, in the order of their keys. Only a failed `reserve` takes back those that it had added. */
  get regions(): readonly Region[] {
    return this.#slabs.regions;
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
    this.#slabs.grow(pagesFor(requested));
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
    this.#slabs.close(Math.floor(length / PAGE_KEYS));
    this.#squaredNorms.set(this.#writtenNorms);
  }

  /**
   * Forgets the keys from `length` on, and what was reserved and written behind them. In an int8 cache a full page that is
   * cut keeps its rows dequantized from then on.
   */
  truncate(length: number): void {
    this.assertAlive();
    invariant(Number.isSafeInteger(length) && length >= 0 && length <= this.#length, () => ({
      code: 'invalid-argument',
      problem: 'A cache is truncated to a length from 0 to its own.',
      found: `${length}, of ${this.#length}`,
      remedy: 'Give a number of keys that it holds.',
    }));
    this.#length = length;
    this.#reserved = length;
    const truncatesQuantizedPage = length % PAGE_KEYS > 0 && length < this.#slabs.closed * PAGE_KEYS;
    if (truncatesQuantizedPage) this.#reopen(Math.floor(length / PAGE_KEYS));
    else this.#slabs.shrink(pagesFor(length));
    this.#truncateNorms(length);
  }

  /**
   * The norms of committed keys stay: bounds that may now be larger than necessary, never smaller. Where the cache is
   * truncated to the same length again and again, they are those of the first time, so that attempts leave nothing behind.
   */
  #truncateNorms(length: number): void {
    if (length === 0) this.#squaredNorms.fill(0);
    if (this.#normsAtTruncation?.length === length) this.#squaredNorms.set(this.#normsAtTruncation.norms);
    else this.#normsAtTruncation = { length, norms: this.#squaredNorms.slice() };
    this.#writtenNorms.set(this.#squaredNorms);
    this.#onTruncate?.(length);
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
    for (const segment of this.#slabs.segments(to)) {
      const { arena, ...tables } = this.#slabs.regions[segment.region] as Region;
      const pages = headPages(this.shape, layer, head, tables, segment.open);
      for (let position = Math.max(from, segment.from); position < segment.to; position++) {
        rows.set(exactRow(arena.views(), pages, what, position), (position - from) * headDim);
      }
    }
    return rows;
  }

  /** The segments that hold the keys at positions [0, n); n may reach into what is reserved. */
  segments(n: number): Segment[] {
    this.assertAlive();
    return this.#slabs.segments(n);
  }

  /** Bounds on the norms of a head's keys and values, committed or not. */
  norms(layer: number, head: number): HeadNorms {
    this.assertAlive();
    // By index: every layer of every token asks.
    const at = (layer * this.shape.keyValueHeads + head) * 4;
    const norms = this.#writtenNorms;
    return {
      keys: Math.sqrt(norms[at] as number) * this.#roundingMargins.keys + SUBNORMAL_MARGIN,
      values: Math.sqrt(norms[at + 1] as number) * this.#roundingMargins.values + SUBNORMAL_MARGIN,
      rmsValue: Math.sqrt((norms[at + 2] as number) / Math.max(1, norms[at + 3] as number)),
    };
  }

  /** Frees the memory. The cache is of no use afterwards; disposing again does nothing. */
  dispose(): void {
    this.#disposed = true;
    this.#length = 0;
    this.#reserved = 0;
    this.#slabs.dispose();
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

  /** Address of a row. */
  #rowAddress(layer: number, head: number, what: 'keys' | 'values', position: number) {
    const { headDim, precision } = this.shape;
    const page = Math.floor(position / PAGE_KEYS);
    const { region, address } =
      precision === 'int8'
        ? this.#slabs.findOpen(page)
        : (this.#slabs.find(page) as { region: Region; address: number });
    const exactOffset = exactOffsetOf(this.shape, layer, head, precision === 'int8');
    const row = (position % PAGE_KEYS) + (what === 'values' ? PAGE_KEYS : 0);
    return { region, address: address + exactOffset + row * rowBytes(headDim, openPrecision(this.shape)) };
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
    const { region, address } = this.#rowAddress(layer, head, what, position);
    const rows = { numbers, heads, head, headDim, first, count };
    const { maxSquaredNorm, squaredNormSum } = writeExactRows(
      region.arena,
      region.staging,
      address,
      rows,
      openPrecision(this.shape),
    );
    const norms = this.#writtenNorms.subarray((layer * heads + head) * 4);
    const normIndex = what === 'values' ? 1 : 0;
    norms[normIndex] = Math.max(norms[normIndex] as number, maxSquaredNorm);
    if (what === 'keys') return;
    norms[2] = (norms[2] as number) + squaredNormSum;
    norms[3] = (norms[3] as number) + count;
  }

  /** Writes the encodings of a page whose rows are all there. */
  #quantizePage(layer: number, head: number, page: number): void {
    if (this.shape.encodings.length === 0) return;
    const { region } = this.#slabs.find(page) as { region: Region };
    const pages = headPages(this.shape, layer, head, region, this.shape.precision === 'int8');
    const quantized = region.arena.kernels.quantizePage(pages, page, region.staging);
    invariant(quantized, () => ({
      code: 'not-a-number',
      problem: `Among the keys and values of head ${head} are numbers too large for the encodings of its page.`,
      found: `norms up to ${this.norms(layer, head).keys} and ${this.norms(layer, head).values}`,
      remedy: "Check the model's weights and activations for NaN or overflow.",
    }));
  }

  /** Makes the closed page `page` the last, and dequantizes its rows to where those of open pages are. */
  #reopen(page: number): void {
    const { layers, keyValueHeads, headDim } = this.shape;
    this.#slabs.reopen(page + 1);
    const { region, address } = this.#slabs.findOpen(page);
    const { kernels, views } = region.arena;
    const indices = region.staging;
    const dequantized = indices + PAGE_KEYS * 4;
    const scratch = dequantized + PAGE_KEYS * rotatedDim(headDim) * 4;
    for (let layer = 0; layer < layers; layer++) {
      for (let head = 0; head < keyValueHeads; head++) {
        const pages = headPages(this.shape, layer, head, region, true);
        for (const [i, what] of (['keys', 'values'] as const).entries()) {
          for (let j = 0; j < PAGE_KEYS; j++) views().i32[indices / 4 + j] = page * PAGE_KEYS + j;
          kernels.dequantizeRows(pages, what, indices, PAGE_KEYS, dequantized, scratch);
          const rows = address + pages.exactOffset + i * PAGE_KEYS * rowBytes(headDim, 'f32');
          kernels.inverseRotate(dequantized, PAGE_KEYS, headDim, rows, scratch);
        }
      }
    }
  }
}

/**
 * Addresses of one head's pages in a region: those with rows in the precision of the cache, or the `open` ones of an int8
 * cache.
 */
export function headPages(
  shape: CacheShape,
  layer: number,
  head: number,
  { table, openTable }: Pick<Region, 'table' | 'openTable'>,
  open: boolean,
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
