/** Where the rows of one head lie in the pages of a cache, and what is read from the encodings of a page. */
import { float16ToFloat32 } from '../kernels/float16.ts';
import type { Pages } from '../kernels/kernels.ts';
import { exactPageBytes, PAGE_KEYS, rotatedDim } from '../kernels/layout.ts';
import { scanBasisBytes } from '../kernels/scan-basis.ts';
import type { Segment } from './page-list.ts';
import { type CacheShape, layoutOf } from './shape.ts';
import { decodedRows, type Region } from './slab-pool.ts';

/**
 * Addresses of one head's pages in a segment: those with rows in the precision of the cache, or the `open` ones of an int8
 * cache. `bases` is where the region of the segment has the bases of scans, 0 where heads have none.
 */
export function headPages(
  shape: CacheShape,
  layer: number,
  head: number,
  { table, openTable, open }: Pick<Segment, 'table' | 'openTable' | 'open'>,
  bases: number,
): Pages {
  const layout = layoutOf(shape);
  const headIndex = layer * shape.keyValueHeads + head;
  const headOffset = headIndex * layout.bytes;
  const exactOffset = exactOffsetOf(shape, layer, head, open);
  const storedPrecision = shape.precision;
  const basis = bases === 0 ? 0 : bases + headIndex * scanBasisBytes(shape.headDim);
  const at = { table, headOffset, exactOffset, storedPrecision, basis };
  if (!open) return { ...layout, ...at, exactTable: table };
  return { ...layout, ...at, precision: 'f32', exactTable: openTable };
}

/** Offset of one head's rows in a slab, or in the block of an open page of an int8 cache. */
export function exactOffsetOf(shape: CacheShape, layer: number, head: number, open: boolean): number {
  const headIndex = layer * shape.keyValueHeads + head;
  return headIndex * (open ? exactPageBytes(shape.headDim, 'f32') : layoutOf(shape).bytes);
}

/** Keys and values of one layer (count, keyValueHeads, headDim), as they are written into a cache. */
export interface LayerRows {
  keys: Float32Array;
  values: Float32Array;
}

/**
 * The first `count` rows of a page, by layer, from exact rows as they lie: keys and then values of each head, `stride`
 * numbers from head to head. Numbers of 16 bits are those of float16.
 */
function splitRows(
  { layers, keyValueHeads, headDim }: CacheShape,
  stored: Float32Array | Uint16Array,
  stride: number,
  count: number,
): LayerRows[] {
  const widen = stored instanceof Uint16Array ? float16Table() : undefined;
  return Array.from({ length: layers }, (_, layer) => {
    const rows = new Float32Array(2 * count * keyValueHeads * headDim);
    const [keys, values] = [rows.subarray(0, rows.length / 2), rows.subarray(rows.length / 2)];
    for (let head = 0; head < keyValueHeads; head++) {
      for (const [i, target] of [keys, values].entries()) {
        const from = (layer * keyValueHeads + head) * stride + i * PAGE_KEYS * headDim;
        for (let row = 0; row < count; row++) {
          const [at, to] = [from + row * headDim, (row * keyValueHeads + head) * headDim];
          if (widen === undefined) target.set(stored.subarray(at, at + headDim), to);
          else for (let d = 0; d < headDim; d++) target[to + d] = widen[stored[at + d] as number] as number;
        }
      }
    }
    return { keys, values };
  });
}

let table: Float32Array | undefined;

/** All numbers of float16, by their bits. */
function float16Table(): Float32Array {
  table ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => float16ToFloat32(bits));
  return table;
}

/** Dequantizes the rows of a closed page, of all layers and heads, as they lie in the block of an open one. */
export function dequantizePage(
  shape: CacheShape,
  region: Region,
  segment: Segment,
  page: number,
  target: Float32Array,
): void {
  const { layers, keyValueHeads, headDim } = shape;
  const { kernels, views } = region.arena;
  const indices = region.staging;
  const dequantized = indices + PAGE_KEYS * 4;
  const scratch = dequantized + PAGE_KEYS * rotatedDim(headDim) * 4;
  const rows = decodedRows(shape, region);
  const rowNumbers = PAGE_KEYS * headDim;
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < keyValueHeads; head++) {
      const pages = headPages(shape, layer, head, segment, region.bases);
      for (const [i, what] of (['keys', 'values'] as const).entries()) {
        for (let j = 0; j < PAGE_KEYS; j++) views().i32[indices / 4 + j] = page * PAGE_KEYS + j;
        kernels.dequantizeRows(pages, what, indices, PAGE_KEYS, dequantized, scratch);
        kernels.inverseRotate(dequantized, PAGE_KEYS, headDim, rows, scratch);
        const offset = exactOffsetOf(shape, layer, head, true) / 4 + i * rowNumbers;
        target.set(views().f32.subarray(rows / 4, rows / 4 + rowNumbers), offset);
      }
    }
  }
}

/** The first `count` rows of a page by layer. `address`: where its slab lies, or its block where it has one. */
export function pageRows(
  shape: CacheShape,
  region: Region,
  segment: Segment,
  page: number,
  { address, count }: { address: number; count: number },
): LayerRows[] {
  const { layers, keyValueHeads, headDim, precision } = shape;
  const halfRecord = 2 * PAGE_KEYS * headDim;
  const { f32, u16 } = region.arena.views();
  if (precision === 'f16') return splitRows(shape, u16.subarray(address / 2), layoutOf(shape).bytes / 2, count);
  if (precision === 'f32') return splitRows(shape, f32.subarray(address / 4), layoutOf(shape).bytes / 4, count);
  if (segment.open) return splitRows(shape, f32.subarray(address / 4), halfRecord, count);
  const rows = new Float32Array(layers * keyValueHeads * halfRecord);
  dequantizePage(shape, region, segment, page, rows);
  return splitRows(shape, rows, halfRecord, count);
}
