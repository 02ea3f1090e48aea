/** IEEE 754 half precision to single, for many values: by a table (Node 20 has no Float16Array). */

import { halfToFloat } from 'keysieve';

export { halfToFloat };

let table: Float32Array | undefined;

/** The values of all 65,536 halves by their bits; made on the first call. */
export function halfTable(): Float32Array {
  table ??= Float32Array.from({ length: 65_536 }, (_, bits) => halfToFloat(bits));
  return table;
}
