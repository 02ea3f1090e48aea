/**
 * The memory that caches of one shape share. It is taken in regions, one an arena of at most 4 GiB, and given out in
 * blocks: slabs, page tables, and the rows of open pages. Caches that read the same block count as its references; the
 * last one to let go of it frees it, for any of them to use again. No block is ever moved.
 */
import { KeysieveError } from '../errors.ts';
import { PAGE_KEYS } from '../kernels/layout.ts';
import { quantizeScratchBytes } from '../kernels/quantized-kernels.ts';
import { type ScanBasis, scanBasisBytes, writeScanBasis } from '../kernels/scan-basis.ts';
import { type Arena, createArena, type KernelsFactory } from './arena.ts';
import { type CacheShape, openBytesOf, slabBytesOf } from './shape.ts';

/** An arena of the pool, and what the owner of the caches needs in it beside their blocks. */
export interface Region {
  readonly arena: Arena;
  /** Room for the rows of one page of one head (64, d) of float32 on their way into the encodings, or out of them. */
  readonly staging: number;
  /** Address of the bases of the scan, of every head of every layer; 0 where heads have none. */
  readonly bases: number;
}

/** Bytes in a region that some caches read, or that one writes. */
export interface Block {
  /** Index of the region. */
  readonly region: number;
  readonly address: number;
  readonly bytes: number;
}

export interface SlabPoolOptions {
  shape: CacheShape;
  /** Maximum number of bytes of one arena. */
  arenaBytes: number;
  /** The basis of each head's scan, (layers, keyValueHeads); undefined where all are scanned by signs. */
  scanBases: readonly (ScanBasis | undefined)[] | undefined;
  /** Whether threads share the memory. */
  shared: boolean;
  createKernels: KernelsFactory;
  /** Called with each region when it is made, before blocks are given out of it: to allocate what is to be beside them. */
  onRegion?: ((region: Region) => void) | undefined;
}

export interface SlabPool {
  readonly shape: CacheShape;
  readonly shared: boolean;
  readonly regions: readonly Region[];
  /** Bytes of a slab: a page of all layers and heads. */
  readonly slabBytes: number;
  /** Bytes of the rows of an open page, where they are not in the slab; else 0. */
  readonly openBytes: number;
  /** Bytes that are given out to caches: each block once, whatever its references. */
  readonly bytes: number;
  /** Bytes that are taken in all regions, with what lies beside the blocks. */
  readonly totalBytes: number;
  /** A new block in a region, with one reference; undefined where it has no room. */
  allocate(region: number, bytes: number): Block | undefined;
  /** Adds a region. Returns its index. Throws `cache-out-of-memory`, and what `onRegion` throws. */
  addRegion(): number;
  /** Takes back the regions from `count` on, of which nobody has a block. */
  dropRegions(count: number): void;
  /** Adds a reference. Returns the block. */
  retain(block: Block): Block;
  /** Takes a reference away; without one the memory is free. */
  release(block: Block): void;
  /** Number of references of a block. */
  references(block: Block): number;
  /** Copies what is in a block into another one of the same size. */
  copy(from: Block, to: Block): void;
  /** Holds the pool: another call of `letGo` is due. Whoever made it holds it. */
  hold(): void;
  /** Lets go of the pool. The last one to do so gives the memory back. */
  letGo(): void;
}

/** Bytes on the way into the encodings, or out of them; behind these are the rows (64, d) that come out. */
const encodingScratchBytes = ({ headDim, encodings }: CacheShape): number =>
  encodings.length > 0 ? Math.ceil(quantizeScratchBytes(headDim) / 64) * 64 : 0;

const stagingBytes = (shape: CacheShape): number => encodingScratchBytes(shape) + PAGE_KEYS * shape.headDim * 4;

/** Address in the staging of a region of rows that come out of their encodings. */
export const decodedRows = (shape: CacheShape, { staging }: Region): number => staging + encodingScratchBytes(shape);

/** Maximum number of regions: a pool with more has arenas that are far too small. */
export const MAX_REGIONS = 64;

interface CountedBlock extends Block {
  references: number;
}

/** Writes the bases of all heads into an arena. Returns their address, undefined where there is no room. */
function placeBases(
  arena: Arena,
  { headDim }: CacheShape,
  bases: readonly (ScanBasis | undefined)[],
): number | undefined {
  const bytes = scanBasisBytes(headDim);
  const address = arena.allocate(bases.length * bytes);
  if (address === undefined) return undefined;
  for (const [head, basis] of bases.entries()) writeScanBasis(arena.views(), address + head * bytes, headDim, basis);
  return address;
}

/** A pool with one region. Throws `cache-out-of-memory`. */
export function createSlabPool(options: SlabPoolOptions): SlabPool {
  const { shape, arenaBytes, scanBases, shared, createKernels, onRegion } = options;
  const regions: Region[] = [];
  let bytes = 0;
  let holders = 1;
  const arenaOf = (region: number) => (regions[region] as Region).arena;

  const pool: SlabPool = {
    shape,
    shared,
    regions,
    slabBytes: slabBytesOf(shape),
    openBytes: openBytesOf(shape),
    get bytes() {
      return bytes;
    },
    get totalBytes() {
      return regions.reduce((sum, { arena }) => sum + arena.usedBytes, 0);
    },
    allocate(region, blockBytes) {
      const address = arenaOf(region).allocate(blockBytes);
      if (address === undefined) return undefined;
      bytes += blockBytes;
      const block: CountedBlock = { region, address, bytes: blockBytes, references: 1 };
      return block;
    },
    addRegion() {
      if (regions.length === MAX_REGIONS) throw outOfMemory(`${MAX_REGIONS} arenas of at most ${arenaBytes} bytes`);
      const arena = createArena({ limit: arenaBytes, shared, createKernels });
      const staging = arena.allocate(stagingBytes(shape));
      const bases = scanBases === undefined ? 0 : placeBases(arena, shape, scanBases);
      if (staging === undefined || bases === undefined) throw outOfMemory(`an arena of ${arenaBytes} bytes`);
      const region = { arena, staging, bases };
      onRegion?.(region);
      return regions.push(region) - 1;
    },
    dropRegions(count) {
      regions.length = Math.min(regions.length, count);
    },
    retain(block) {
      const counted = block as CountedBlock;
      if (counted.references === 0) throw new Error('A block that is free cannot be used again.');
      counted.references++;
      return block;
    },
    release(block) {
      const counted = block as CountedBlock;
      if (counted.references === 0) throw new Error('A block was freed twice.');
      if (--counted.references > 0) return;
      bytes -= counted.bytes;
      arenaOf(counted.region).free(counted.address, counted.bytes);
    },
    references: (block) => (block as CountedBlock).references,
    copy(from, to) {
      const source = new Uint8Array(arenaOf(from.region).memory.buffer, from.address, from.bytes);
      new Uint8Array(arenaOf(to.region).memory.buffer, to.address, to.bytes).set(source);
    },
    hold() {
      holders++;
    },
    letGo() {
      if (--holders === 0) regions.length = 0;
    },
  };
  pool.addRegion();
  return pool;
}

export function outOfMemory(found: string): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: 'There is no memory for another page of keys and values.',
    found,
    remedy: 'Use a shorter prompt, keep the cache in f16, raise memoryLimit, or dispose of other caches.',
  });
}
