/**
 * The memory of a cache: slabs of equal size, slab p for page p, in regions. A region is one arena; when it is full,
 * another is begun, and no slab is ever moved.
 *
 * Where slabs hold full pages quantized, without exact rows, the rows of a page are in a block of their own, beside its slab,
 * until the page is closed: a page is open from when it is placed until it is full and committed. Blocks are used again.
 */
import { KeysieveError } from '../errors.ts';
import { PAGE_KEYS } from '../kernels/layout.ts';
import { type Arena, createArena, type KernelsFactory } from './arena.ts';

/** An arena of the cache, with its page table (pages of the whole cache) of uint32 and the slabs that lie in it. */
export interface Region {
  readonly arena: Arena;
  readonly table: number;
  /** Address of the table of the blocks of open pages; where rows are in the slabs, that of the page table. */
  readonly openTable: number;
  /** Room for the rows of one page of one head (64, d) of float32, before they are encoded. */
  readonly staging: number;
}

/** Consecutive keys of a cache that lie in one region: positions [from, to). `from` opens a page. */
export interface Segment {
  /** Index in the cache's `regions`. */
  region: number;
  from: number;
  to: number;
  /** Whether their rows lie in blocks of open pages. */
  open: boolean;
}

export interface SlabsOptions {
  slabBytes: number;
  /** Bytes of the block of an open page; 0 where rows lie in the slabs. */
  openBytes: number;
  /** Maximum number of slabs. */
  capacity: number;
  stagingBytes: number;
  /** Maximum number of bytes of one arena. */
  arenaBytes: number;
  /** Maximum number of bytes of all arenas together. */
  memoryLimit: number;
  shared: boolean;
  createKernels: KernelsFactory;
  /** Called with each region when it is made, before slabs go into it. */
  onRegion?: ((region: Region) => void) | undefined;
}

export interface Slabs {
  /** The regions, in the order of their slabs. The last may have none. */
  readonly regions: readonly Region[];
  readonly count: number;
  /** Bytes that have been taken in all regions. */
  readonly bytes: number;
  /** Adds slabs until there are `count`. Throws `cache-out-of-memory` where there is no room, and then adds none. */
  grow(count: number): void;
  /** Takes slabs back until there are `count`. Their memory is used again. */
  shrink(count: number): void;
  /** Where the slab of a page lies; undefined where there is none. */
  find(page: number): { region: Region; address: number } | undefined;
  /** Pages that are closed: the first ones. Where rows lie in the slabs, none is. */
  readonly closed: number;
  /** Closes the pages before `pages`. */
  close(pages: number): void;
  /**
   * Takes slabs back until the closed page `pages` - 1 is the last, and opens that. It never fails: the block that the
   * page had is free again.
   */
  reopen(pages: number): void;
  /** Where the block of an open page lies. */
  findOpen(page: number): { region: Region; address: number };
  /** The segments that hold the keys at positions [0, n). */
  segments(n: number): Segment[];
  /** Lets go of the regions: the memory of none can be used any more. */
  dispose(): void;
}

/** Maximum number of regions: a cache with more has arenas that are far too small. */
export const MAX_REGIONS = 64;

interface GrowingRegion extends Region {
  firstPage: number;
  readonly slabs: number[];
  /** Addresses of the blocks of open pages. */
  readonly open: Map<number, number>;
}

/** Memory for a cache, with its first region. Throws `cache-out-of-memory`. */
export function createSlabs(options: SlabsOptions): Slabs {
  const {
    slabBytes,
    openBytes: blockBytes,
    capacity,
    stagingBytes,
    arenaBytes,
    memoryLimit,
    shared,
    createKernels,
    onRegion,
  } = options;
  const regions: GrowingRegion[] = [];
  // Blocks that are freed must come back as blocks.
  const openBytes = blockBytes === slabBytes ? blockBytes + 1 : blockBytes;
  let closed = 0;

  const bytes = () => regions.reduce((sum, { arena }) => sum + arena.usedBytes, 0);
  /** Index of the region that grows: the last one with slabs in it. */
  const growingRegionIndex = () =>
    Math.max(
      regions.findLastIndex(({ slabs }) => slabs.length > 0),
      0,
    );
  const count = () => {
    const { firstPage, slabs } = regions[growingRegionIndex()] as GrowingRegion;
    return firstPage + slabs.length;
  };

  const addRegion = (): GrowingRegion => {
    if (regions.length === MAX_REGIONS) throw outOfMemory(`${MAX_REGIONS} arenas of at most ${arenaBytes} bytes`);
    const arena = createArena({ limit: arenaBytes, shared, createKernels });
    const table = arena.allocate(capacity * 4);
    const openTable = openBytes === 0 ? table : arena.allocate(capacity * 4);
    const staging = arena.allocate(stagingBytes);
    if (table === undefined || openTable === undefined || staging === undefined)
      throw outOfMemory(`an arena of ${arenaBytes} bytes`);
    const region: GrowingRegion = { arena, table, openTable, staging, firstPage: 0, slabs: [], open: new Map() };
    onRegion?.(region);
    regions.push(region);
    return region;
  };

  /** Gives a page a block; false where there is no room. */
  const open = ({ arena, openTable, open: blocks }: GrowingRegion, page: number): boolean => {
    if (openBytes === 0) return true;
    const address = arena.allocate(openBytes);
    if (address === undefined) return false;
    blocks.set(page, address);
    arena.views().u32[openTable / 4 + page] = address;
    return true;
  };

  const closePage = ({ arena, open: blocks }: GrowingRegion, page: number): void => {
    const address = blocks.get(page);
    if (address === undefined) return;
    blocks.delete(page);
    arena.free(address, openBytes);
  };

  /** Puts the slab of `page` into a region, and opens it; false where it has no room. */
  const place = (region: GrowingRegion, page: number): boolean => {
    if (bytes() + slabBytes + openBytes > memoryLimit) throw outOfMemory(`a limit of ${memoryLimit} bytes`);
    const address = region.arena.allocate(slabBytes);
    if (address === undefined) return false;
    if (!open(region, page)) {
      region.arena.free(address, slabBytes);
      return false;
    }
    if (region.slabs.length === 0) region.firstPage = page;
    region.slabs.push(address);
    region.arena.views().u32[region.table / 4 + page] = address;
    return true;
  };

  const add = (): void => {
    const page = count();
    const last = growingRegionIndex();
    if (place(regions[last] as GrowingRegion, page)) return;
    if (place(regions[last + 1] ?? addRegion(), page)) return;
    throw outOfMemory(`${bytes()} bytes in arenas of at most ${arenaBytes}`);
  };

  const shrink = (target: number): void => {
    while (count() > target) {
      const region = regions[growingRegionIndex()] as GrowingRegion;
      closePage(region, count() - 1);
      region.arena.free(region.slabs.pop() as number, slabBytes);
    }
    closed = Math.min(closed, count());
  };

  const regionOf = (page: number) => regions.findLast(({ firstPage, slabs }) => slabs.length > 0 && firstPage <= page);

  addRegion();
  return {
    regions,
    get count() {
      return count();
    },
    get bytes() {
      return bytes();
    },
    grow(target) {
      const [slabsBefore, regionsBefore] = [count(), regions.length];
      try {
        while (count() < target) add();
      } catch (error) {
        shrink(slabsBefore);
        regions.length = regionsBefore;
        throw error;
      }
    },
    shrink,
    find(page) {
      const region = regionOf(page);
      const address = region?.slabs[page - region.firstPage];
      return region === undefined || address === undefined ? undefined : { region, address };
    },
    get closed() {
      return closed;
    },
    close(pages) {
      if (openBytes === 0) return;
      for (; closed < pages; closed++) closePage(regionOf(closed) as GrowingRegion, closed);
    },
    reopen(pages) {
      shrink(pages);
      closed = pages - 1;
      const region = regionOf(closed) as GrowingRegion;
      if (!open(region, closed)) throw outOfMemory(`a block of ${openBytes} bytes that is free`);
    },
    findOpen(page) {
      const region = regionOf(page) as GrowingRegion;
      return { region, address: region.open.get(page) as number };
    },
    segments(n) {
      const segments: Segment[] = [];
      for (const [region, { firstPage, slabs }] of regions.entries()) {
        const from = firstPage * PAGE_KEYS;
        const to = Math.min(n, (firstPage + slabs.length) * PAGE_KEYS);
        if (slabs.length === 0 || to <= from) continue;
        const edge = openBytes === 0 ? to : Math.max(from, Math.min(to, closed * PAGE_KEYS));
        if (edge > from) segments.push({ region, from, to: edge, open: false });
        if (to > edge) segments.push({ region, from: edge, to, open: true });
      }
      return segments;
    },
    dispose() {
      regions.length = 0;
    },
  };
}

function outOfMemory(found: string): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: 'There is no memory for another page of keys and values.',
    found,
    remedy: 'Use a shorter prompt, keep the cache in f16, raise memoryLimit, or dispose of other caches.',
  });
}
