/** Arenas so small that a cache needs several. */
import { largestBlock } from '../src/attention/grain.ts';
import { openBytesOf, slabBytesOf } from '../src/cache/shape.ts';
import { workspaceSizes } from '../src/cache/workspace.ts';
import { sealScratchBytes } from '../src/kernels/code-kernels.ts';
import { completePlanes, PAGE_KEYS, type Plane, type Precision, pagesFor } from '../src/kernels/layout.ts';

interface SmallArena {
  layers: number;
  keyValueHeads: number;
  heads: number;
  headDim: number;
  capacity: number;
  precision?: Precision;
  planes?: readonly Plane[];
  threads?: number;
}

/** Bytes of an arena that holds `slabs` slabs, to a fraction, beside the tables and the buffers of the threads. */
export function arenaBytesFor(slabs: number, attention: SmallArena): number {
  const { heads, keyValueHeads, headDim, capacity, precision = 'f16', threads = 1 } = attention;
  const planes = completePlanes(attention.planes ?? [], precision);
  const shape = { layers: attention.layers, keyValueHeads, headDim, precision, planes };
  const group = heads / keyValueHeads;
  const rows = largestBlock(group) * group;
  const buffers = Object.values(workspaceSizes({ rows, group, headDim, capacity, planes })).flat();
  const staging = Math.max(PAGE_KEYS * headDim * 4, planes.length > 0 ? sealScratchBytes(headDim) : 0);
  const thread = buffers.reduce((sum, bytes) => sum + bytes + 64, 0);
  const tables = 2 * (pagesFor(capacity) * 4 + 64);
  const bytes = slabs * (slabBytesOf(shape) + openBytesOf(shape)) + tables + staging + threads * thread;
  return Math.ceil(bytes / 2 ** 16) * 2 ** 16;
}
