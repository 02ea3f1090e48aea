/**
 * Rows (n, d) as a cache of `bits` bits a number would return them: symmetric, one step size a row, so that the number
 * of largest magnitude lies at the end of the range.
 */
export function quantizeRows(rows: Float32Array, d: number, bits: number): Float32Array {
  const maxCode = 2 ** (bits - 1) - 1;
  const quantized = new Float32Array(rows.length);
  for (let from = 0; from < rows.length; from += d) {
    let maxMagnitude = 0;
    for (let i = from; i < from + d; i++) maxMagnitude = Math.max(maxMagnitude, Math.abs(rows[i] as number));
    const step = maxMagnitude / maxCode || 1;
    for (let i = from; i < from + d; i++) quantized[i] = Math.round((rows[i] as number) / step) * step;
  }
  return quantized;
}
