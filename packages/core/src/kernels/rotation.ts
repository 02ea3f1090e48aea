/**
 * The rotation of the codes: R = H S D2 H D1 of D dimensions (a multiple of 32), fixed for all caches. D1 and D2 flip
 * signs, H is the Walsh-Hadamard transform of consecutive blocks of b dimensions, b the largest power of two that
 * divides D, and S moves dimension i of block j to place i (D / b) + j, so that with several blocks the second H mixes
 * what the first kept apart. R is orthogonal. It spreads what is large in a few dimensions over all of them, so that
 * signs and 4-bit codes lose little (RaBitQ, arXiv 2405.12497; QuIP#, arXiv 2402.04396).
 */

/** b: the largest power of two that divides D. */
export const rotationBlock = (dimensions: number): number => dimensions & -dimensions;

/** -1 or 1: the sign that D1 (`round` 0) or D2 (`round` 1) gives to dimension i, by the finaliser of MurmurHash3. */
export function rotationSign(i: number, round: 0 | 1): number {
  let hash = Math.imul(i + 1 + 256 * round, 0x9e3779b1);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash & 1 ? -1 : 1;
}
