/**
 * Low-bit scans of keys, simulated in float64: estimated scores of all keys of a captured head. Keys are quantized about the
 * centre of their page of 64.
 *
 *   signs      y = R (k - c), R a random rotation:  a.k ~ a.c + f sum sign(y_i) (R a)_i,  f = |y|^2 / |y|_1            (1)
 *   features   M = mean squares of the queries, the same for both dimensions of a RoPE pair; V the eigenvectors of
 *              M^1/2 Cov(k - c) M^1/2, largest first; z = V^T M^1/2 (k - c);  16 (or 8) nibbles a key, each one
 *              dimension at 4 bits, two at 2 bits or four at 1 bit, chosen so that the distortion is least;
 *              a.k ~ a.c + f <V^T M^-1/2 a, z'>,  f = <z, z'> / <z', z'>                                               (2)
 */
import { EigenvalueDecomposition, Matrix, QrDecomposition } from 'ml-matrix';
import { quantile } from '../../numerics/statistics.ts';
import { addScaled, at, createRandom, descending, dot } from '../numbers.ts';

export const PAGE = 64;
/** Distortion of a normal number by Lloyd and Max's levels, by bits (Max 1960), and the levels above 0. */
const LEVELS: Readonly<Record<number, { distortion: number; positive: readonly number[] }>> = {
  1: { distortion: 0.3634, positive: [0.7979] },
  2: { distortion: 0.1175, positive: [0.4528, 1.51] },
  4: { distortion: 0.009497, positive: [0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733] },
};

/** Estimated scores (n) of one query a = q / sqrt(d) over the first n keys. */
export type Scan = (query: Float64Array, n: number) => Float64Array;

/** Page centres (pages, d) and keys about them (n, d). */
function aboutCentres(keys: Float64Array, d: number): { centres: Float64Array; rows: Float64Array } {
  const n = keys.length / d;
  const centres = new Float64Array(Math.ceil(n / PAGE) * d);
  for (let j = 0; j < n; j++) {
    const page = Math.floor(j / PAGE);
    addScaled(centres, page * d, 1 / Math.min(PAGE, n - page * PAGE), keys, j * d, d);
  }
  return { centres, rows: keys.map((x, i) => x - at(centres, Math.floor(i / d / PAGE) * d + (i % d))) };
}

/** rows (n, d) times a matrix (r, d): (n, r) */
function times(rows: Float64Array, d: number, matrix: Float64Array): Float64Array {
  const r = matrix.length / d;
  const target = new Float64Array((rows.length / d) * r);
  for (let j = 0; j < rows.length / d; j++) {
    for (let i = 0; i < r; i++) target[j * r + i] = dot(rows, j * d, matrix, i * d, d);
  }
  return target;
}

/** Scores by page centres, and codes (n, r) times factors (n) times the query's side (r). */
function scanOf(
  d: number,
  centres: Float64Array,
  codes: Float64Array,
  factors: Float64Array,
  side: (query: Float64Array) => Float64Array,
): Scan {
  const r = codes.length / factors.length;
  return (query, n) => {
    const querySide = side(query);
    const scores = new Float64Array(n);
    let ofCentre = 0;
    for (let j = 0; j < n; j++) {
      if (j % PAGE === 0) ofCentre = dot(query, 0, centres, (j / PAGE) * d, d);
      scores[j] = ofCentre + at(factors, j) * dot(querySide, 0, codes, j * r, r);
    }
    return scores;
  };
}

/** A random orthogonal matrix (d, d). */
export function randomRotation(d: number, seed: number): Float64Array {
  const random = createRandom(seed);
  const { orthogonalMatrix } = new QrDecomposition(Matrix.from1DArray(d, d, random.normals(d * d)));
  return Float64Array.from(orthogonalMatrix.to1DArray());
}

/** (1) */
export function signScan(keys: Float64Array, d: number, seed: number): Scan {
  const { centres, rows } = aboutCentres(keys, d);
  const R = randomRotation(d, seed);
  const y = times(rows, d, R);
  const factors = Float64Array.from({ length: keys.length / d }, (_, j) => {
    let [squares, sizes] = [0, 0];
    for (let i = 0; i < d; i++) {
      squares += at(y, j * d + i) ** 2;
      sizes += Math.abs(at(y, j * d + i));
    }
    return sizes === 0 ? 0 : squares / sizes;
  });
  return scanOf(d, centres, y.map(Math.sign), factors, (query) => times(query, d, R));
}

/** Bits of every dimension, largest variance first, for a number of nibbles: the least sum of distortions. */
export function allocateBits(variances: ArrayLike<number>, nibbles: number): number[] {
  let best: number[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (let fours = 0; fours <= nibbles; fours++) {
    for (let twos = 0; twos <= nibbles - fours; twos++) {
      const ones = nibbles - fours - twos;
      const bits = [...new Array(fours).fill(4), ...new Array(2 * twos).fill(2), ...new Array(4 * ones).fill(1)];
      if (bits.length > variances.length) continue;
      let distortion = 0;
      for (let i = 0; i < variances.length; i++) distortion += at(variances, i) * (LEVELS[bits[i]]?.distortion ?? 1);
      if (distortion < least) [best, least] = [bits, distortion];
    }
  }
  return best;
}

function quantized(x: number, bits: number): number {
  const { positive } = LEVELS[bits] as (typeof LEVELS)[number];
  const size = Math.abs(x);
  let nearest = at(positive, 0);
  for (const level of positive) if (Math.abs(size - level) < Math.abs(size - nearest)) nearest = level;
  return x < 0 ? -nearest : nearest;
}

export interface FeatureOptions {
  /** Mean squares (d) of the queries, the same for both dimensions of a pair. */
  energies: Float64Array;
  /** Nibbles a key. */
  nibbles: number;
  /** Keys, from the first on, whose covariance has the axes. */
  fittedKeys: number;
}

/** (2) */
export function featureScan(keys: Float64Array, d: number, { energies, nibbles, fittedKeys }: FeatureOptions): Scan {
  const { centres, rows } = aboutCentres(keys, d);
  const roots = energies.map(Math.sqrt);
  const weighted = rows.map((x, i) => x * at(roots, i % d));
  const fitted = Math.min(fittedKeys, rows.length / d);
  const covariance = new Float64Array(d * d);
  for (let j = 0; j < fitted; j++) {
    for (let a = 0; a < d; a++) addScaled(covariance, a * d, at(weighted, j * d + a) / fitted, weighted, j * d, d);
  }
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(Matrix.from1DArray(d, d, covariance), {
    assumeSymmetric: true,
  });
  const order = [...descending(realEigenvalues)];
  const variances = order.map((i) => Math.max(0, at(realEigenvalues, i)));
  const bits = allocateBits(variances, nibbles);
  const r = bits.length;
  // V^T (r, d)
  const V = Float64Array.from(order.slice(0, r).flatMap((i) => eigenvectorMatrix.getColumn(i)));
  const z = times(weighted, d, V);
  const codes = z.map((x, i) => {
    const spread = Math.sqrt(at(variances, i % r)) || 1;
    return spread * quantized(x / spread, at(bits, i % r));
  });
  const exact = Float64Array.from({ length: keys.length / d }, (_, j) => {
    const size = dot(codes, j * r, codes, j * r, r);
    return size === 0 ? 0 : dot(z, j * r, codes, j * r, r) / size;
  });
  // A byte ends where one factor in a thousand is larger.
  const limit = quantile(exact, 0.999);
  const factors = exact.map((factor) => Math.round((Math.min(factor, limit) / limit) * 255) * (limit / 255));
  return scanOf(d, centres, codes, factors, (query) =>
    times(
      query.map((x, i) => x / at(roots, i)),
      d,
      V,
    ),
  );
}
