/** IEEE 754 half precision to single, for many values: by a table (Node 20 has no Float16Array). */

import { float16ToFloat32 } from 'keysieve/engine';

export { float16ToFloat32 };

let table: Float32Array | undefined;

/** The values of all 65,536 halves by their bits; made on the first call. */
export function float16Table(): Float32Array {
  table ??= Float32Array.from({ length: 65_536 }, (_, bits) => float16ToFloat32(bits));
  return table;
}
