/** One head of a cache as a selector meets it, made with the parts that the attention itself is made of. */
import { headSegments, openThread, type ThreadContext } from '../src/attention/thread.ts';
import { KvCache } from '../src/cache/kv-cache.ts';
import type { Region } from '../src/cache/slab-pool.ts';
import { type GroupWork, loadQueries, selectedPositions } from '../src/group/group-work.ts';
import { allocateWorkspace, type Workspace } from '../src/group/workspace.ts';
import type { KernelsName } from '../src/kernels/index.ts';
import { completeEncodings, type Encoding, type Precision } from '../src/kernels/layout.ts';
import { type AttentionProblem, positionsBelow, score64 } from './plain-attention.ts';

export interface HeadBenchOptions {
  headDim: number;
  /** (n, d) each */
  keys: Float32Array;
  values: Float32Array;
  precision?: Precision;
  encodings?: readonly Encoding[];
  arenaBytes?: number;
  /** Kernels that queries use. Default: `wasm`. */
  kernels?: KernelsName;
}

export interface HeadBench {
  /** Keys. */
  readonly n: number;
  /** Query rows (rows, d), not scaled, over the first n keys, or all. */
  query(rows: Float32Array, n?: number): GroupWork;
  /** The positions that a selector has chosen. */
  selectedPositions(query: GroupWork, count: number): Int32Array;
  /** Queries as a problem in plain numbers: each sees `seen`, or all of the first n keys. */
  problem(rows: Float32Array, n?: number, seen?: Int32Array): AttentionProblem;
}

/**
 * Bytes of an arena that holds the buffers of a bench and some pages: with 700 keys of 16 dimensions it takes several.
 */
export const SMALL_ARENA_BYTES = 5 * 2 ** 16;

/** Most query rows of a bench. */
const MAX_ROWS = 4;

export function createHeadBench({ headDim, keys, values, kernels = 'wasm', ...options }: HeadBenchOptions): HeadBench {
  const n = keys.length / headDim;
  const workspaces = new Map<Region, Workspace>();
  const { precision = 'f16' } = options;
  const encodings = completeEncodings(options.encodings ?? [], precision);
  const size = { rows: MAX_ROWS, groupSize: MAX_ROWS, headDim, capacity: n, encodings };
  const cache = new KvCache({
    ...options,
    layers: 1,
    keyValueHeads: 1,
    headDim,
    capacity: n,
    onRegion(region) {
      workspaces.set(region, allocateWorkspace(region.arena, size) as Workspace);
    },
  });
  cache.reserve(n);
  cache.write(0, 0, keys, values);
  cache.commit(n);
  const readRows = (what: 'keys' | 'values') => cache.read(0, 0, what, 0, n);
  const [storedKeys, storedValues] = [readRows('keys'), readRows('values')];

  const thread: ThreadContext = openThread({
    batchNumbers: new ArrayBuffer(0),
    shape: cache.shape,
    heads: 1,
    kernels,
    jobMemory: (cache.regions[0] as Region).arena.memory,
    regions: cache.regions.map((region) => ({
      memory: region.arena.memory,
      bases: region.bases,
      workspace: workspaces.get(region) as Workspace,
    })),
    policies: [],
    policyModules: [],
    rule: {},
  });

  return {
    n,
    query(rows, visible = n) {
      const norms = cache.norms(0, 0);
      return {
        shape: cache.shape,
        layer: 0,
        head: 0,
        rows: rows.length / headDim,
        n: visible,
        segments: headSegments(thread, cache.segments(visible), 0, 0, 0, visible),
        queryNorms: loadQueries(thread.regions, rows, headDim, 0),
        maxKeyNorm: norms.keys,
        maxValueNorm: norms.values,
        rmsValueNorm: norms.rmsValue,
      };
    },
    selectedPositions: (query, count) => selectedPositions(query).slice(0, count),
    problem: (rows, visible = n, seen = positionsBelow(visible)) => ({
      headDim,
      queries: Float64Array.from(rows, (x) => x / Math.sqrt(headDim)),
      keys: storedKeys,
      values: storedValues,
      visible: Array.from({ length: rows.length / headDim }, () => seen),
    }),
  };
}

/** Share of the softmax over the first n keys that those at `positions` do not have, in float64. */
export function unreadMass(problem: AttentionProblem, n: number, positions: Int32Array): number {
  const scores = Float64Array.from({ length: n }, (_, position) => score64(problem, 0, position));
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const read = new Set(positions);
  let [unread, all] = [0, 0];
  for (const [position, score] of scores.entries()) {
    const weight = Math.exp(score - largest);
    all += weight;
    if (!read.has(position)) unread += weight;
  }
  return unread / all;
}
