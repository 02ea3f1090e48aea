/**
 * The pages of one cache: for each page a slab, and beside it, where slabs hold full pages quantized without exact rows, a
 * block of rows until the page is closed: a page is open from when it is placed until it is full and committed. Other
 * caches may read the same slabs and blocks; a page that is written into is made the cache's own first.
 *
 * A cache has a page table in each region where it has pages, and stays in one region as long as that has room.
 */
import { PAGE_KEYS } from '../kernels/layout.ts';
import { noNorms, type PageNorms } from './norms.ts';
import { type Block, outOfMemory, type Region, type SlabPool } from './slab-pool.ts';

/** Consecutive keys of a cache that lie in one region: positions [from, to). `from` opens a page. */
export interface Segment {
  /** Index in the cache's `regions`. */
  region: number;
  /** Address of the page table (pages of the whole cache) of uint32. */
  table: number;
  /** Address of the table of the blocks of open pages; where rows are in the slabs, that of the page table. */
  openTable: number;
  from: number;
  to: number;
  /** Whether their rows lie in blocks of open pages. */
  open: boolean;
}

/** A page of a cache. Those of two caches that share its blocks have the same norms. */
export interface Page {
  slab: Block;
  /** Rows of an open page, where they are not in the slab: in the same region. */
  rows: Block | undefined;
  /** Norms of the rows: see `norms.ts`. */
  norms: PageNorms;
}

export interface PageListOptions {
  pool: SlabPool;
  /** Maximum number of pages. */
  capacity: number;
  /** Maximum number of bytes of slabs, rows and tables. */
  memoryLimit: number;
}

export interface PageList {
  readonly count: number;
  /** Pages that are forgotten, the first ones: they count, and nothing is there any more. */
  readonly forgotten: number;
  readonly pages: readonly Page[];
  /** Bytes of slabs, rows and tables, those that other caches read too included. */
  readonly bytes: number;
  /** The bytes by who else reads them. */
  readonly memory: CacheMemory;
  /** Pages that are closed: the first ones. Where rows lie in the slabs, none is. */
  readonly closed: number;
  /** Lets go of the pages before `pages`. */
  forget(pages: number): void;
  /** Adds full pages of another cache of the pool, shared. Throws `cache-out-of-memory`, and then adds none. */
  share(shared: readonly Page[]): void;
  /** Adds pages until there are `count`. Throws `cache-out-of-memory` where there is no room, and then adds none. */
  grow(count: number): void;
  /** Lets go of pages until there are `count`. */
  shrink(count: number): void;
  /** Closes the pages before `pages`. */
  close(pages: number): void;
  /**
   * Makes an open page the cache's own, with the rows that it has. A closed one, the last, is opened: `fillRows` writes the
   * rows that it stands for into a block. Throws `cache-out-of-memory`, and then changes nothing.
   */
  own(page: number, fillRows: (rows: Block) => void): void;
  /** The segments that hold the keys at positions [0, n), from the first page on that is not forgotten. */
  segments(n: number): Segment[];
  /** A list that shares the pages of this one. Throws `cache-out-of-memory` where there is no room for its tables. */
  fork(): PageList;
  /** Lets go of all pages and tables. */
  dispose(): void;
}

/** Bytes that a cache reads, by who else reads them. */
export interface CacheMemory {
  /** Bytes that nobody else reads, page tables included. */
  own: number;
  /** Bytes of pages that others read too: other caches, or whoever holds pages. */
  shared: number;
  /**
   * `own`, and this cache's part of what is shared: the bytes of each page, divided by the number of its readers. Summed
   * over all readers of a pool, these are the bytes that it has given out.
   */
  proportional: number;
}

/** Segments of a cache at most: it has more only where memory is scattered over arenas that are nearly full. */
export const MAX_SEGMENTS = 256;

/** Consecutive pages in one region. */
interface Run {
  region: number;
  from: number;
  to: number;
}

/**
 * A list that shares `inherited` pages, but the first ones, which are forgotten. Throws `cache-out-of-memory` where there is
 * no room for its tables.
 */
export function createPageList(
  options: PageListOptions,
  inherited: readonly Page[] = [],
  closedPages = inherited.length,
  forgottenPages = 0,
): PageList {
  const { pool, capacity, memoryLimit } = options;
  const { slabBytes, openBytes, shape } = pool;
  const tableBytes = Math.ceil((capacity * 4) / 64) * 64;
  const pages: Page[] = [];
  /** The tables by region: the page table, and behind it that of open pages where there are blocks of rows. */
  const tables: (Block | undefined)[] = [];
  let closed = openBytes === 0 ? 0 : closedPages;
  let forgotten = 0;
  let bytes = 0;
  let runs: Run[] | undefined;

  const tableIn = (region: number): Block | undefined => {
    if (tables[region] === undefined) {
      tables[region] = pool.allocate(region, openBytes === 0 ? tableBytes : 2 * tableBytes);
      bytes += tables[region]?.bytes ?? 0;
    }
    return tables[region];
  };
  const openTableOf = (table: Block) => (openBytes === 0 ? table.address : table.address + tableBytes);

  const free = ({ slab, rows }: Page) => {
    pool.release(slab);
    if (rows !== undefined) pool.release(rows);
  };
  const bytesOf = ({ slab, rows }: Page) => slab.bytes + (rows?.bytes ?? 0);

  /** Throws where a page, in place of `replaced` bytes, is more than the limit allows; the page is free then. */
  const requireWithinLimit = (page: Page, replaced = 0): Page => {
    if (bytes - replaced + bytesOf(page) <= memoryLimit) return page;
    free(page);
    throw outOfMemory(`a limit of ${memoryLimit} bytes`);
  };

  /** Puts a page in its place, and into the table of its region, which is there. */
  const put = (page: number, { slab, rows, norms }: Page): void => {
    const placed = { slab, rows, norms };
    pages[page] = placed;
    bytes += bytesOf(placed);
    const table = tables[slab.region] as Block;
    const { u32 } = (pool.regions[slab.region] as Region).arena.views();
    u32[table.address / 4 + page] = slab.address;
    if (rows !== undefined) u32[openTableOf(table) / 4 + page] = rows.address;
    runs = undefined;
  };

  /** A page in a region; undefined where that has no room for all of it. */
  const allocateIn = (region: number, sharedSlab?: Block): Page | undefined => {
    if (tableIn(region) === undefined) return undefined;
    const slab = sharedSlab === undefined ? pool.allocate(region, slabBytes) : pool.retain(sharedSlab);
    if (slab === undefined) return undefined;
    const rows = openBytes === 0 ? undefined : pool.allocate(region, openBytes);
    if (openBytes > 0 && rows === undefined) {
      pool.release(slab);
      return undefined;
    }
    return { slab, rows, norms: noNorms(shape) };
  };

  /** A page in the region where the cache is, in another, or in a new one. */
  const allocate = (near: number): Page => {
    const others = pool.regions.flatMap((_, region) => (region === near ? [] : [region]));
    for (const region of [near, ...others]) {
      const page = allocateIn(region);
      if (page !== undefined) return page;
    }
    const page = allocateIn(pool.addRegion());
    if (page === undefined) throw outOfMemory('an arena that holds not even one page');
    return page;
  };

  /** Runs `change`, which may add tables and regions; where it throws, those that it added are taken back. */
  const attempt = (change: () => void): void => {
    const [regionsBefore, tablesBefore] = [pool.regions.length, tables.slice()];
    try {
      change();
    } catch (error) {
      for (const [region, table] of tables.entries()) {
        if (table === undefined || tablesBefore[region] !== undefined) continue;
        bytes -= table.bytes;
        pool.release(table);
        tables[region] = undefined;
      }
      pool.dropRegions(regionsBefore);
      throw error;
    }
  };

  const shrink = (target: number): void => {
    while (pages.length > target) {
      const page = pages.pop() as Page;
      runs = undefined;
      if (pages.length < forgotten) continue;
      bytes -= bytesOf(page);
      free(page);
    }
    closed = Math.min(closed, pages.length);
    forgotten = Math.min(forgotten, pages.length);
  };

  const runsOf = (): Run[] => {
    if (runs !== undefined) return runs;
    runs = [];
    for (let page = forgotten; page < pages.length; page++) {
      const { slab } = pages[page] as Page;
      const last = runs.at(-1);
      if (last?.region === slab.region) last.to = page + 1;
      else runs.push({ region: slab.region, from: page, to: page + 1 });
    }
    return runs;
  };

  /** Runs `add`, which may add pages too; where it throws, all of them are taken back. */
  const attemptToAdd = (add: () => void): void => {
    const [before, closedBefore] = [pages.length, closed];
    attempt(() => {
      try {
        add();
        // Room is kept for the edge between closed and open pages, and for a page that is written elsewhere.
        if (runsOf().length > MAX_SEGMENTS - 3) throw outOfMemory(`${MAX_SEGMENTS} pieces of memory`);
      } catch (error) {
        shrink(before);
        closed = closedBefore;
        throw error;
      }
    });
  };

  const share = (shared: readonly Page[]): void => {
    for (const page of shared) {
      if (tableIn(page.slab.region) === undefined) throw outOfMemory(`a page table of ${tableBytes} bytes`);
      pool.retain(page.slab);
      if (page.rows !== undefined) pool.retain(page.rows);
      put(pages.length, requireWithinLimit(page));
    }
  };

  const list: PageList = {
    get count() {
      return pages.length;
    },
    pages,
    get bytes() {
      return bytes;
    },
    get memory() {
      const memory: CacheMemory = { own: 0, shared: 0, proportional: 0 };
      const blocks = pages.slice(forgotten).flatMap(({ slab, rows }) => [slab, rows]);
      for (const block of [...blocks, ...tables]) {
        if (block === undefined) continue;
        const readers = pool.references(block);
        memory[readers > 1 ? 'shared' : 'own'] += block.bytes;
        memory.proportional += block.bytes / readers;
      }
      return memory;
    },
    get closed() {
      return closed;
    },
    get forgotten() {
      return forgotten;
    },
    forget(target) {
      for (; forgotten < target; forgotten++) {
        const page = pages[forgotten] as Page;
        bytes -= bytesOf(page);
        free(page);
        runs = undefined;
      }
    },
    share(shared) {
      attemptToAdd(() => {
        share(shared);
        if (openBytes > 0) closed = pages.length;
      });
    },
    grow(target) {
      attemptToAdd(() => {
        while (pages.length < target) {
          put(pages.length, requireWithinLimit(allocate(pages.at(-1)?.slab.region ?? 0)));
        }
      });
    },
    shrink,
    close(target) {
      if (openBytes === 0) return;
      for (; closed < target; closed++) {
        const page = pages[closed] as Page;
        if (page.rows === undefined) continue;
        bytes -= page.rows.bytes;
        pool.release(page.rows);
        page.rows = undefined;
      }
    },
    own(at, fillRows) {
      const page = pages[at] as Page;
      const isShared = [page.slab, page.rows].some((block) => block !== undefined && pool.references(block) > 1);
      const isClosed = at < closed;
      if (!isShared && !isClosed) return;
      attempt(() => {
        const { region } = page.slab;
        const placed = (isShared ? undefined : allocateIn(region, page.slab)) ?? allocate(region);
        const copy = requireWithinLimit(placed, bytesOf(page));
        try {
          if (isClosed) fillRows(copy.rows as Block);
          else if (copy.rows !== undefined) pool.copy(page.rows as Block, copy.rows);
          else pool.copy(page.slab, copy.slab);
        } catch (error) {
          free(copy);
          throw error;
        }
        bytes -= bytesOf(page);
        free(page);
        put(at, { ...copy, norms: page.norms.slice() });
        if (isClosed) closed = at;
      });
    },
    segments(n) {
      const segments: Segment[] = [];
      for (const run of runsOf()) {
        const from = run.from * PAGE_KEYS;
        const to = Math.min(n, run.to * PAGE_KEYS);
        if (to <= from) break;
        const { region } = run;
        const block = tables[region] as Block;
        const [table, openTable] = [block.address, openTableOf(block)];
        const edge = openBytes === 0 ? to : Math.max(from, Math.min(to, closed * PAGE_KEYS));
        if (edge > from) segments.push({ region, table, openTable, from, to: edge, open: false });
        if (to > edge) segments.push({ region, table, openTable, from: edge, to, open: true });
      }
      return segments;
    },
    fork: () => createPageList(options, pages, closed, forgotten),
    dispose() {
      shrink(0);
      for (const table of tables) if (table !== undefined) pool.release(table);
      tables.length = 0;
      bytes = 0;
    },
  };
  try {
    for (const page of inherited.slice(0, forgottenPages)) pages.push(page);
    forgotten = forgottenPages;
    share(inherited.slice(forgottenPages));
  } catch (error) {
    list.dispose();
    throw error;
  }
  return list;
}
