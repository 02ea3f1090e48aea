/** The rows that exact attention reads: exact rows, or dequantized ones in full pages of an int8 cache. */
import { float16ToFloat32 } from './float16.ts';
import type { Pages } from './kernels.ts';
import { PAGE_KEYS, rowBytes } from './layout.ts';
import { dequantizedRow, quantizedKey } from './quantized-rows.ts';
import { inverseRotate } from './rotation.ts';
import { at, type Views } from './views.ts';

/** The key or the value at `position` (d), in float64. */
export function exactRow(views: Views, pages: Pages, what: 'keys' | 'values', position: number): Float64Array {
  const { headDim, precision, exactTable, exactOffset } = pages;
  if (precision === 'int8') {
    const row = dequantizedRow(views, quantizedKey(views, pages, position), what === 'keys' ? 'key' : 'value');
    return inverseRotate(row, headDim);
  }
  const { f32, u16, u32 } = views;
  const row = (position % PAGE_KEYS) + (what === 'values' ? PAGE_KEYS : 0);
  const page = at(u32, exactTable / 4 + Math.floor(position / PAGE_KEYS)) + exactOffset;
  const address = page + row * rowBytes(headDim, precision);
  return Float64Array.from({ length: headDim }, (_, i) =>
    precision === 'f32' ? at(f32, address / 4 + i) : float16ToFloat32(at(u16, address / 2 + i)),
  );
}
