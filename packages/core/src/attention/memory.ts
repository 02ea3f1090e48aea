/** What an attention will take in memory, before there is one. */
import { workspaceSizes } from '../cache/workspace.ts';
import { completePlanes, PAGE_KEYS, type Plane, type Precision, pageLayout, pagesFor } from '../kernels/layout.ts';
import { largestBlock } from './grain.ts';
import { ROW_RESULTS } from './row-result.ts';

/** The sizes that say what memory an attention takes. */
export interface AttentionSize {
  layers: number;
  keyValueHeads: number;
  heads: number;
  headDim: number;
  precision: Precision;
  /** Planes beside the exact one. Default: none. */
  planes?: readonly Plane[];
  /** Keys. */
  capacity: number;
  threads: number;
}

/** What an attention takes, in bytes. */
export interface AttentionBytes {
  /** Keys and values, when the cache is full. */
  cache: number;
  cachePerToken: number;
  /** Buffers of the threads, and the queries and outputs of the largest chunk. */
  work: number;
}

/** Bytes for a cache that is full and chunks of `chunk` queries. */
export function attentionBytes(size: AttentionSize, chunk: number): AttentionBytes {
  const { layers, keyValueHeads, heads, headDim, precision, planes = [], capacity, threads } = size;
  const slab = layers * keyValueHeads * pageLayout(headDim, precision, completePlanes(planes)).bytes;
  const group = heads / keyValueHeads;
  const workspaceSize = { rows: largestBlock(group) * group, group, headDim, capacity, planes: completePlanes(planes) };
  const workspace = Object.values(workspaceSizes(workspaceSize)).flat();
  const exchange = chunk * heads * (2 * headDim + ROW_RESULTS) * 4;
  return {
    cache: pagesFor(capacity) * slab,
    cachePerToken: slab / PAGE_KEYS,
    work: threads * workspace.reduce((sum, bytes) => sum + bytes, 0) + exchange,
  };
}
