/**
 * The rotation that rows are rounded behind: Hadamard's matrix of Sylvester's form over each part of a row, divided by
 * the root of its size. It is its own inverse and changes no product of two rows, but spreads a value that is larger
 * than all others over a whole part, and with it the step that a row is rounded to shrinks (QuaRot, arXiv 2404.00456).
 */

/** Larger parts cost more and round little better. */
const LARGEST_PART = 64;

/** Values of a part: the largest power of two, up to 64, that divides the row. */
export function rotatedPart(rowLength: number): number {
  let part = 1;
  while (part < LARGEST_PART && rowLength % (2 * part) === 0) part *= 2;
  return part;
}

/** The rotation of a part as a matrix, (part, part), row by row. */
export function rotationMatrix(part: number): Float32Array {
  const matrix = new Float32Array(part * part);
  for (let i = 0; i < part; i++) matrix[i * part + i] = 1;
  rotate(matrix, part);
  return matrix;
}

/** Rotates every part of some rows, in place. */
export function rotate(values: Float32Array, part: number): void {
  const scale = 1 / Math.sqrt(part);
  for (let at = 0; at < values.length; at += part) {
    for (let half = 1; half < part; half *= 2) {
      for (let i = at; i < at + part; i++) {
        if (((i - at) & half) !== 0) continue;
        const [a, b] = [values[i] as number, values[i + half] as number];
        values[i] = a + b;
        values[i + half] = a - b;
      }
    }
    for (let i = at; i < at + part; i++) values[i] = (values[i] as number) * scale;
  }
}
