/**
 * The basis of a head's scan: which dimensions of a centred key y = k - c the scan keeps, and how many bits of each. The
 * dimensions in which queries are long and keys vary are kept in two bits, the next ones in one, the rest not at all.
 * Each class is weighted, rotated within itself, quantized, and has a factor of its own that makes <q', z'> f an unbiased
 * estimate of <q', z> (as RaBitQ's factor does for signs, arXiv 2405.12497): scalar levels in a model's own dimensions
 * would undervalue a heavy key, which is rare in just the dimensions that a query looks at.
 *
 * Rows of a class are z = H D2 H D1 W y, where W are the weights; query rows are H D2 H D1 W^-1 q, so that products stay
 * what they were. H is the Walsh-Hadamard transform, D1 and D2 flip signs.
 */
import { BASIS_HEADER_BYTES } from './constants.ts';
import { rotationSign } from './rotation.ts';
import { at, type Views } from './views.ts';

export interface ScanBasis {
  /** Dimensions that are kept (3 d / 4): the first d / 4 in two bits, the others in one. */
  readonly dimensions: readonly number[];
  /** Weight of each of them, positive. */
  readonly weights: readonly number[];
}

/** Levels of two bits for normal numbers of variance 1 (Max 1960), and the threshold between them. */
export const LEVELS = [0.4528, 1.5104] as const;
export const LEVEL_THRESHOLD = 0.9816;

/** Whether heads of this size can have a basis: classes must be as long as a Walsh-Hadamard transform. */
export const supportsScanBasis = (headDim: number): boolean => headDim >= 32 && (headDim & (headDim - 1)) === 0;

/** Whether a value is the basis of a head of this size. */
export function isScanBasis(value: unknown, headDim: number): value is ScanBasis {
  const { dimensions, weights } = (value ?? {}) as { dimensions?: unknown; weights?: unknown };
  const count = (3 * headDim) / 4;
  return (
    supportsScanBasis(headDim) &&
    Array.isArray(dimensions) &&
    Array.isArray(weights) &&
    new Set(dimensions).size === count &&
    dimensions.every((dimension) => Number.isInteger(dimension) && dimension >= 0 && dimension < headDim) &&
    weights.length === count &&
    weights.every((weight) => weight > 0 && Number.isFinite(weight))
  );
}

/**
 * Bytes of a head's basis in memory: int32 1 where it has one, 0 where keys are scanned by signs, and 12 unused bytes;
 * then, each for (3 d / 4) dimensions, offsets in a row of float32, weights and inverse weights with the signs of D1, and
 * the signs of D2 over the length of the class.
 */
export const scanBasisBytes = (headDim: number): number => BASIS_HEADER_BYTES + 12 * headDim;

/** Writes the basis of a head, or that it has none. */
export function writeScanBasis(
  { i32, f32 }: Views,
  address: number,
  headDim: number,
  basis: ScanBasis | undefined,
): void {
  i32[address / 4] = basis === undefined ? 0 : 1;
  if (basis === undefined) return;
  const count = (3 * headDim) / 4;
  const first = (address + BASIS_HEADER_BYTES) / 4;
  for (let i = 0; i < count; i++) {
    const weight = at(basis.weights, i) * rotationSign(i, 0);
    i32[first + i] = at(basis.dimensions, i) * 4;
    f32[first + count + i] = weight;
    f32[first + 2 * count + i] = 1 / weight;
    f32[first + 3 * count + i] = rotationSign(i, 1) / (i < headDim / 4 ? headDim / 4 : headDim / 2);
  }
}

/** z of a row y (d), or q' of a query: both classes, one behind the other (3 d / 4), in float64. */
export function classRows(
  { i32, f32 }: Views,
  address: number,
  row: ArrayLike<number>,
  what: 'key' | 'query',
): [Float64Array, Float64Array] {
  const count = (3 * row.length) / 4;
  const first = (address + BASIS_HEADER_BYTES) / 4;
  const factors = first + (what === 'key' ? count : 2 * count);
  const z = Float64Array.from({ length: count }, (_, i) => at(row, at(i32, first + i) / 4) * at(f32, factors + i));
  const classes: [Float64Array, Float64Array] = [z.slice(0, row.length / 4), z.slice(row.length / 4)];
  for (const [number, part] of classes.entries()) {
    transform(part);
    for (let i = 0; i < part.length; i++) {
      part[i] = at(part, i) * at(f32, first + 3 * count + (number === 0 ? 0 : row.length / 4) + i);
    }
    transform(part);
  }
  return classes;
}

/** The Walsh-Hadamard transform by butterflies, larger by the root of the length. */
function transform(x: Float64Array): void {
  for (let half = 1; half < x.length; half *= 2) {
    for (let i = 0; i < x.length; i++) {
      if (i & half) continue;
      const [a, b] = [at(x, i), at(x, i + half)];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
}
