/** The memory that an attention will take. */

import { openBytesOf, slabBytesOf } from '../cache/shape.ts';
import { workspaceSizes } from '../group/workspace.ts';
import { completeEncodings, type Encoding, PAGE_KEYS, type Precision, pagesFor } from '../kernels/layout.ts';
import { maxBlockQueries } from './block-size.ts';
import { ROW_RESULT_NUMBERS } from './row-result.ts';

/** The sizes that say what memory an attention takes. */
export interface AttentionSize {
  layers: number;
  keyValueHeads: number;
  heads: number;
  headDim: number;
  precision: Precision;
  /** Encodings beside the exact rows. Default: none. */
  encodings?: readonly Encoding[] | undefined;
  /** Keys. */
  capacity: number;
  threads: number;
}

/** What an attention takes, in bytes. */
export interface AttentionBytes {
  /** Keys and values, when the cache is full. */
  cache: number;
  cachePerToken: number;
  /** Rows of the pages that are open while the largest chunk is read, where they are not stored in the pages. */
  open: number;
  /** Buffers of the threads, and where there are several the queries and outputs of the largest chunk. */
  buffers: number;
}

/** Bytes for a cache that is full and chunks of `chunk` queries. */
export function attentionBytes(size: AttentionSize, chunk: number): AttentionBytes {
  const { layers, keyValueHeads, heads, headDim, precision, encodings = [], capacity, threads } = size;
  const shape = { layers, keyValueHeads, headDim, precision, encodings: completeEncodings(encodings, precision) };
  const slabBytes = slabBytesOf(shape);
  const groupSize = heads / keyValueHeads;
  const workspaceSize = { ...shape, rows: maxBlockQueries(groupSize) * groupSize, groupSize, capacity };
  const workspace = Object.values(workspaceSizes(workspaceSize)).flat();
  // The pages of a chunk are open until it is committed, and so is the one before it, in part.
  const open = Math.min(pagesFor(capacity), pagesFor(chunk) + 1) * openBytesOf(shape);
  // One thread works on the caller's own arrays.
  const jobBufferBytes = threads === 1 ? 0 : chunk * heads * (2 * headDim + ROW_RESULT_NUMBERS) * 4;
  return {
    cache: pagesFor(capacity) * slabBytes,
    cachePerToken: slabBytes / PAGE_KEYS,
    open,
    buffers: threads * workspace.reduce((sum, bytes) => sum + bytes, 0) + jobBufferBytes,
  };
}
