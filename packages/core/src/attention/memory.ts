/** What an attention will take in memory, before there is one. */

import { openBytesOf, slabBytesOf } from '../cache/shape.ts';
import { workspaceSizes } from '../cache/workspace.ts';
import { completePlanes, PAGE_KEYS, type Plane, type Precision, pagesFor } from '../kernels/layout.ts';
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
  /** Rows of the pages that are open while the largest chunk is read, where they do not lie in the cache's pages. */
  open: number;
  /** Buffers of the threads, and the queries and outputs of the largest chunk. */
  work: number;
}

/** Bytes for a cache that is full and chunks of `chunk` queries. */
export function attentionBytes(size: AttentionSize, chunk: number): AttentionBytes {
  const { layers, keyValueHeads, heads, headDim, precision, planes = [], capacity, threads } = size;
  const shape = { layers, keyValueHeads, headDim, precision, planes: completePlanes(planes, precision) };
  const slab = slabBytesOf(shape);
  const group = heads / keyValueHeads;
  const workspaceSize = { ...shape, rows: largestBlock(group) * group, group, capacity };
  const workspace = Object.values(workspaceSizes(workspaceSize)).flat();
  // The pages of a chunk are open until it is committed, and so is the one before it, in part.
  const open = Math.min(pagesFor(capacity), pagesFor(chunk) + 1) * openBytesOf(shape);
  const exchange = chunk * heads * (2 * headDim + ROW_RESULTS) * 4;
  return {
    cache: pagesFor(capacity) * slab,
    cachePerToken: slab / PAGE_KEYS,
    open,
    work: threads * workspace.reduce((sum, bytes) => sum + bytes, 0) + exchange,
  };
}
