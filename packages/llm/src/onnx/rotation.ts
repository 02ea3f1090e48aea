/**
 * The rotation that rows are rounded behind: Hadamard's matrix of Sylvester's form over each part of a row, divided by
 * the root of its size. It is its own inverse and changes no product of two rows, but spreads a value that is larger
 * than all others over a whole part, and with it the step that a row is rounded to shrinks (QuaRot, arXiv 2404.00456).
 */

/** Larger parts cost more and round little better. */
const MAX_HADAMARD_SIZE = 64;

/** Values of a part: the largest power of two, up to 64, that divides the row. */
export function hadamardSize(rowLength: number): number {
  let size = 1;
  while (size < MAX_HADAMARD_SIZE && rowLength % (2 * size) === 0) size *= 2;
  return size;
}

/** The rotation of a part as a matrix, (part, part), row by row. */
export function hadamardMatrix(size: number): Float32Array {
  const matrix = new Float32Array(size * size);
  for (let i = 0; i < size; i++) matrix[i * size + i] = 1;
  rotate(matrix, size);
  return matrix;
}

/** Rotates every part of some rows, in place. */
export function rotate(values: Float32Array, size: number): void {
  const scale = 1 / Math.sqrt(size);
  for (let start = 0; start < values.length; start += size) {
    for (let half = 1; half < size; half *= 2) {
      for (let i = start; i < start + size; i++) {
        if (((i - start) & half) !== 0) continue;
        const [a, b] = [values[i] as number, values[i + half] as number];
        values[i] = a + b;
        values[i + half] = a - b;
      }
    }
    for (let i = start; i < start + size; i++) values[i] = (values[i] as number) * scale;
  }
}
