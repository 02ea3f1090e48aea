/**
 * What stands for evicted keys: clusters by key, each with its count, mean key and mean value, and second moments that all
 * clusters share. Within a cluster scores about its centre are small, which is where the polynomial of
 * `bounded-entries.ts` holds (e^x ~ 1 + x + x^2 / 2), and everything is made in one pass, as in `one-pass.ts`.
 *
 *   Sigma = sum over keys of (k - c)(k - c)^T / N,   C = sum of (v - v_c)(k - c)^T / N                                 (1)
 *   w_c = n_c e^(a.k_c),  W = sum w,  quad = a^T Sigma a / 2,  a = q / sqrt(d)
 *   numerator += (1 + quad) sum w_c v_c + W C a,   denominator += W (1 + quad)                                        (2)
 */
import { addScaled, at, type Random, type Rows } from '../numbers.ts';
import type { RemainsOf } from './eviction.ts';

export interface Clusters {
  d: number;
  /** (c) */
  counts: Float64Array;
  /** (c, d) each */
  keys: Float64Array;
  values: Float64Array;
  /** (1) times N: (d, d) each */
  scatter: Float64Array;
  cross: Float64Array;
}

export interface ClusterOptions {
  /** Clusters. */
  count: number;
  rounds: number;
  /** Weight (d) of every dimension of a key in distances. */
  metric: Float64Array;
  random: Random;
}

/** Points with weights, and the scatter that is already inside them. */
export const singles = (keys: Rows, values: Rows, d: number): Clusters => ({
  d,
  counts: new Float64Array(keys.length / d).fill(1),
  keys: Float64Array.from(keys),
  values: Float64Array.from(values),
  scatter: new Float64Array(d * d),
  cross: new Float64Array(d * d),
});

/** Both lists of points as one. */
export const joined = (a: Clusters, b: Clusters): Clusters => ({
  d: a.d,
  counts: Float64Array.from([...a.counts, ...b.counts]),
  keys: Float64Array.from([...a.keys, ...b.keys]),
  values: Float64Array.from([...a.values, ...b.values]),
  scatter: a.scatter.map((x, i) => x + at(b.scatter, i)),
  cross: a.cross.map((x, i) => x + at(b.cross, i)),
});

/**
 * Weighted k-means over points (n). Merging adds what is between points to the shared moments: by the identity of sums
 * of squares they are then those of the single keys about their clusters' centres.
 */
export function merged(points: Clusters, { count, rounds, metric, random }: ClusterOptions): Clusters {
  const { d, counts } = points;
  const n = counts.length;
  if (n <= count) return points;
  // (c, d)
  const centres = new Float64Array(count * d);
  for (const [c, j] of spreadOut(points, count, metric, random).entries()) {
    centres.set(points.keys.subarray(j * d, (j + 1) * d), c * d);
  }
  const nearest = new Uint32Array(n);
  const masses = new Float64Array(count);
  for (let round = 0; round < rounds; round++) {
    for (let j = 0; j < n; j++) nearest[j] = nearestCentre(points.keys, j * d, centres, metric, d);
    masses.fill(0);
    const sums = new Float64Array(count * d);
    for (let j = 0; j < n; j++) {
      const c = at(nearest, j);
      masses[c] = at(masses, c) + at(counts, j);
      addScaled(sums, c * d, at(counts, j), points.keys, j * d, d);
    }
    // A centre that no point is nearest to stays where it is.
    for (let c = 0; c < count; c++) {
      if (at(masses, c) > 0) for (let i = 0; i < d; i++) centres[c * d + i] = at(sums, c * d + i) / at(masses, c);
    }
  }
  const values = new Float64Array(count * d);
  for (let j = 0; j < n; j++) {
    const c = at(nearest, j);
    addScaled(values, c * d, at(counts, j) / at(masses, c), points.values, j * d, d);
  }
  const scatter = Float64Array.from(points.scatter);
  const cross = Float64Array.from(points.cross);
  const [key, value] = [new Float64Array(d), new Float64Array(d)];
  for (let j = 0; j < n; j++) {
    const c = at(nearest, j);
    for (let i = 0; i < d; i++) {
      key[i] = at(points.keys, j * d + i) - at(centres, c * d + i);
      value[i] = at(points.values, j * d + i) - at(values, c * d + i);
    }
    for (let i = 0; i < d; i++) {
      addScaled(scatter, i * d, at(counts, j) * at(key, i), key, 0, d);
      addScaled(cross, i * d, at(counts, j) * at(value, i), key, 0, d);
    }
  }
  return { d, counts: masses, keys: centres, values, scatter, cross };
}

/** k-means++: first centres, each drawn in proportion to a point's weight times its squared distance to those before. */
function spreadOut({ d, counts, keys }: Clusters, count: number, metric: Float64Array, random: Random): number[] {
  const n = counts.length;
  const distances = new Float64Array(n).fill(1);
  const drawn: number[] = [];
  while (drawn.length < count) {
    let rest = random.uniform() * counts.reduce((sum, weight, j) => sum + weight * at(distances, j), 0);
    let drawnKey = 0;
    while (drawnKey < n - 1) {
      rest -= at(counts, drawnKey) * at(distances, drawnKey);
      if (rest < 0) break;
      drawnKey++;
    }
    for (let j = 0; j < n; j++) {
      const distance = squaredDistance(keys, j * d, keys, drawnKey * d, metric, d);
      if (drawn.length === 0 || distance < at(distances, j)) distances[j] = distance;
    }
    drawn.push(drawnKey);
  }
  return drawn;
}

function squaredDistance(a: Rows, aFrom: number, b: Rows, bFrom: number, metric: Rows, d: number): number {
  let sum = 0;
  for (let i = 0; i < d; i++) sum += at(metric, i) * (at(a, aFrom + i) - at(b, bFrom + i)) ** 2;
  return sum;
}

function nearestCentre(
  keys: Float64Array,
  from: number,
  centres: Float64Array,
  metric: Float64Array,
  d: number,
): number {
  let [best, least] = [0, Number.POSITIVE_INFINITY];
  for (let c = 0; c < centres.length; c += d) {
    let distance = 0;
    for (let i = 0; i < d && distance < least; i++) {
      const difference = (keys[from + i] as number) - (centres[c + i] as number);
      distance += (metric[i] as number) * difference * difference;
    }
    if (distance < least) [best, least] = [c / d, distance];
  }
  return best;
}

/** Keys that wait for the next merging, in one pass. */
const BUFFER = 256;

/** Clusters in one pass over keys and values (n, d): a full buffer is merged with the clusters before it. */
export function clustersInOnePass(keys: Rows, values: Rows, d: number, options: ClusterOptions): Clusters {
  let clusters = singles(keys.subarray(0, 0), values.subarray(0, 0), d);
  for (let from = 0; from < keys.length; from += BUFFER * d) {
    const to = Math.min(keys.length, from + BUFFER * d);
    clusters = merged(joined(clusters, singles(keys.subarray(from, to), values.subarray(from, to), d)), options);
  }
  return clusters;
}

/** Degree of the polynomial inside clusters: 0 has no moments, 1 only C, 2 both. */
export type Degree = 0 | 1 | 2;

/** (2), for rows of tests. */
export function remainsOfClusters({ d, counts, keys, values, scatter, cross }: Clusters, degree: Degree): RemainsOf {
  // Nothing is evicted where everything is kept.
  const N = Math.max(
    1,
    counts.reduce((sum, x) => sum + x, 0),
  );
  return ({ query, largest }) => {
    const numerator = new Float64Array(d);
    let W = 0;
    for (let c = 0; c < counts.length; c++) {
      if (at(counts, c) === 0) continue;
      let score = 0;
      for (let i = 0; i < d; i++) score += at(query, i) * at(keys, c * d + i);
      const weight = at(counts, c) * Math.exp(score - largest);
      W += weight;
      addScaled(numerator, 0, weight, values, c * d, d);
    }
    const times = (matrix: Float64Array) =>
      query.map((_, i) => {
        let sum = 0;
        for (let j = 0; j < d; j++) sum += at(matrix, i * d + j) * at(query, j);
        return sum / N;
      });
    const quad = degree === 2 ? times(scatter).reduce((sum, x, i) => sum + x * at(query, i), 0) / 2 : 0;
    const output = numerator.map((x) => (1 + quad) * x);
    if (degree > 0) addScaled(output, 0, W, times(cross), 0, d);
    return { numerator: output, denominator: W * (1 + quad) };
  };
}
