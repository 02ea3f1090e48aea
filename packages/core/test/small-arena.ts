/** Arenas so small that a cache needs several. */
import { maxBlockQueries } from '../src/attention/block-size.ts';
import { openBytesOf, slabBytesOf } from '../src/cache/shape.ts';
import { workspaceSizes } from '../src/group/workspace.ts';
import { completeEncodings, type Encoding, PAGE_KEYS, type Precision, pagesFor } from '../src/kernels/layout.ts';
import { quantizeScratchBytes } from '../src/kernels/quantized-kernels.ts';

interface SmallArena {
  layers: number;
  keyValueHeads: number;
  heads: number;
  headDim: number;
  capacity: number;
  precision?: Precision | undefined;
  encodings?: readonly Encoding[] | undefined;
  threads?: number | undefined;
}

/** Bytes of an arena that holds `slabs` slabs, to a fraction, beside the tables and the buffers of the threads. */
export function arenaBytesFor(slabs: number, attention: SmallArena): number {
  const { heads, keyValueHeads, headDim, capacity, precision = 'f16', threads = 1 } = attention;
  const encodings = completeEncodings(attention.encodings ?? [], precision);
  const shape = { layers: attention.layers, keyValueHeads, headDim, precision, encodings };
  const groupSize = heads / keyValueHeads;
  const rows = maxBlockQueries(groupSize) * groupSize;
  const buffers = Object.values(workspaceSizes({ rows, groupSize, headDim, capacity, encodings })).flat();
  const staging = Math.max(PAGE_KEYS * headDim * 4, encodings.length > 0 ? quantizeScratchBytes(headDim) : 0);
  const thread = buffers.reduce((sum, bytes) => sum + bytes + 64, 0);
  const tables = 2 * (pagesFor(capacity) * 4 + 64);
  const bytes = slabs * (slabBytesOf(shape) + openBytesOf(shape)) + tables + staging + threads * thread;
  return Math.ceil(bytes / 2 ** 16) * 2 ** 16;
}
