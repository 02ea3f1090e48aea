/**
 * Weights from a hash of their tensor's name and their index (lowbias32 of FNV-1a), so that a file is the same wherever
 * it is made: value = (2 h / 2^32 - 1) sqrt(3) std.
 */

/** Numbers from 0 to 1. */
export function hashed(name: string, count: number, seed: number): Float64Array {
  let start = 0x811c9dc5;
  for (const byte of Buffer.from(name, 'utf8')) start = Math.imul(start ^ byte, 0x01000193) >>> 0;
  return Float64Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 0x9e3779b1) + start + seed) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  });
}

/** Uniform values of mean 0 and the given standard deviation. */
export function uniform(name: string, count: number, std: number, seed: number): Float32Array {
  const width = Math.sqrt(3) * std;
  return Float32Array.from(hashed(name, count, seed), (u) => (2 * u - 1) * width);
}
