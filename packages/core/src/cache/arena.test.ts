import { describe, expect, it } from 'vitest';
import { createModel, snapshot } from '../../test/cache-model.ts';
import { createRig, type KernelRig, type KernelsUnderTest, randomHead } from '../../test/kernel-rig.ts';
import { createRandom } from '../../test/random.ts';
import { expectAccurate, problemOf } from '../kernels/conformance/accuracy.ts';
import { KERNELS } from '../kernels/index.ts';
import { scratchBytes } from '../kernels/kernels.ts';
import { EXACT_PRECISIONS } from '../kernels/layout.ts';
import { type Arena, createArena, FIRST_BLOCK, MAX_ARENA_BYTES } from './arena.ts';

const WASM_PAGE_BYTES = 65_536;
const { wasm } = KERNELS;

const arenaOf = (limit: number, shared = true): Arena => createArena({ limit, shared, createKernels: wasm });

describe('an arena', () => {
  it('gives blocks that do not overlap, on cache lines, and never address 0', () => {
    const arena = arenaOf(2 ** 20);
    const random = createRandom(1);
    const blocks: [number, number][] = [];
    for (let i = 0; i < 200; i++) {
      const bytes = 1 + random.below(3000);
      blocks.push([arena.allocate(bytes) as number, bytes]);
    }
    blocks.sort(([a], [b]) => a - b);
    for (const [i, [address, bytes]] of blocks.entries()) {
      expect(address % 64).toBe(0);
      expect(address).toBeGreaterThan(0);
      expect(address + bytes).toBeLessThanOrEqual(blocks[i + 1]?.[0] ?? arena.memory.buffer.byteLength);
    }
  });

  it('grows as it must, up to its limit, and then gives nothing', () => {
    const arena = arenaOf(4 * WASM_PAGE_BYTES);
    const addresses: number[] = [];
    for (let address = arena.allocate(20_000); address !== undefined; address = arena.allocate(20_000))
      addresses.push(address);
    // 262,144 bytes less the first line, in blocks of 20,032.
    expect(addresses).toHaveLength(13);
    expect(arena.memory.buffer.byteLength).toBe(4 * WASM_PAGE_BYTES);
    expect(arena.usedBytes).toBe(13 * 20_032);
    expect(arena.allocate(1000)).toBeDefined();
    expect(arena.allocate(2 ** 40)).toBeUndefined();
  });

  it('gives a block that was taken back again, to whom asks for as much', () => {
    const arena = arenaOf(2 ** 20);
    const address = arena.allocate(1000) as number;
    arena.allocate(1000);
    const { usedBytes } = arena;
    arena.free(address, 1000);
    expect(arena.usedBytes).toBe(usedBytes - 1024);
    expect(arena.allocate(1024)).toBe(address);
    expect(arena.usedBytes).toBe(usedBytes);
  });

  it('shows the memory as it is now, however often it grew', () => {
    for (const shared of [true, false]) {
      const arena = arenaOf(2 ** 22, shared);
      const first = arena.allocate(64) as number;
      arena.views().f32[first / 4] = 7;
      const far = arena.allocate(2 ** 21) as number;
      arena.views().i32[far / 4 + 2 ** 18] = 9;
      expect(arena.views().f32[first / 4]).toBe(7);
      expect(arena.views().u32[far / 4 + 2 ** 18]).toBe(9);
      expect(arena.memory.buffer instanceof SharedArrayBuffer).toBe(shared);
    }
  });
});

// Memory that nobody touches takes no room in the machine, so most of 4 GiB can be skipped.
describe('the upper half of 4 GiB', () => {
  it('ends before the last address, so that the end of a block is an address', () => {
    const arena = arenaOf(2 ** 32);
    expect(arena.allocate(MAX_ARENA_BYTES - FIRST_BLOCK)).toBe(FIRST_BLOCK);
    expect(arena.allocate(1)).toBeUndefined();
    expect(arena.memory.buffer.byteLength).toBeLessThan(2 ** 32);
  });

  it.for([
    ['beyond 2 GiB', 2 ** 31 + 12_345 * 64],
    ['at the end', MAX_ARENA_BYTES - 2 ** 22],
  ] as const)('works like the lower half: %s', ([, skip]) => {
    const kernels: KernelsUnderTest = { name: 'wasm', createKernels: wasm, shared: true };
    for (const precision of EXACT_PRECISIONS) {
      const rig = createRig(kernels, MAX_ARENA_BYTES, skip);
      const random = createRandom(2);
      const head = randomHead(random, 300, 64, precision);
      const pages = rig.layOut(head);
      expect(pages.table).toBeGreaterThan(skip);
      // Rows of one query, and a block of them.
      for (const [rows, group, limit] of [
        [3, 3, 300],
        [30, 3, 291],
      ] as const) {
        const queries = { queries: random.normals(rows * 64, 1 / 8), rows, group, limit };
        const state = rig.start(rows, 64);
        rig.attend(pages, 0, 128, queries, state);
        const other = rig.start(rows, 64);
        rig.attend(pages, 128, 300, queries, other);
        rig.kernels.mergeState(state, other, rows, 64);
        expectAccurate(rig.finish(state, rows, 64), problemOf(head, queries), `${rows} rows`);
      }
      expectSelection(rig, head, pages);
    }
  });

  /** Scores all keys, takes the 100 best of them, attends to them: on addresses up there. */
  function expectSelection(
    rig: KernelRig,
    head: ReturnType<typeof randomHead>,
    pages: ReturnType<KernelRig['layOut']>,
  ): void {
    const queries = createRandom(3).normals(64, 1 / 8);
    const query = rig.place(queries);
    const scratch = rig.allocate(scratchBytes(1, 64));
    const scores = rig.allocate(300 * 4);
    const indices = rig.allocate(100 * 4);
    rig.kernels.scoreKeys(pages, 0, 300, query, 1, scores, 300, scratch);
    rig.kernels.selectLargest(scores, 300, 100, 0, indices, scratch);
    const state = rig.start(1, 64);
    rig.kernels.attendSelected(pages, indices, 100, query, state, scratch);
    const actual = rig.floats(scores, 300);
    const best = [...actual.keys()].sort((a, b) => (actual[b] as number) - (actual[a] as number)).slice(0, 100);
    const chosen = Int32Array.from(best).sort();
    expect(rig.ints(indices, 100)).toEqual(chosen);
    const problem = problemOf(head, { queries, rows: 1, group: 1, limit: 300 }, [chosen]);
    expectAccurate(rig.finish(state, 1, 64), problem, 'selected keys');
    const statistics = rig.place(Float32Array.of(Number.NEGATIVE_INFINITY, 0));
    rig.kernels.updateLogSumExp(scores, 300, statistics);
    const [largest = 0, sum = 0] = rig.floats(statistics, 2);
    expect(sum).toBeCloseTo(
      actual.reduce((total, score) => total + Math.exp(score - largest), 0),
      3,
    );
  }

  it('holds a cache that goes on in a second arena behind it', () => {
    const fill = (skip: number) => {
      const regions: number[] = [];
      const model = createModel(createRandom(4), {
        // The first arena is left with room for a few slabs near its end.
        onRegion({ arena }) {
          if (regions.length === 0 && skip > 0) arena.allocate(skip);
          regions.push(arena.usedBytes);
        },
      });
      model.append(500);
      return { model, regions };
    };
    const far = fill(MAX_ARENA_BYTES - 5 * 24_576);
    const near = fill(0);
    expect(near.regions).toHaveLength(1);
    expect(far.regions).toHaveLength(2);
    const [first] = far.model.cache.segments(500);
    expect(first).toMatchObject({ region: 0, from: 0 });
    const { arena } = far.model.cache.regions[0] as NonNullable<(typeof far.model.cache.regions)[0]>;
    expect(arena.views().u32[(first?.table as number) / 4]).toBeGreaterThan(2 ** 31);
    expect(snapshot(far.model.cache).rows).toEqual(snapshot(near.model.cache).rows);
    expect(snapshot(far.model.cache).rows[0]).toEqual(far.model.rows(0, 0, 'keys', 0, 500));
  });
});
