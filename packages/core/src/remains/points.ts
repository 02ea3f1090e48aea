/**
 * Points that stand for keys, and their merging to fewer by weighted k-means (Lloyd's rounds behind the seeds of Arthur and
 * Vassilvitskii, 2007). What lies between points that become one is added to second moments that all points share, so that
 * those of the single keys about any m stay what they are, whatever has been merged: for each dimension
 *
 *   sum over keys of (k - m)^2 = scatter + sum over points of n (mean - m)^2,
 *
 * and the same for the products of values and keys.
 */

export interface Points {
  headDim: number;
  /** Keys that each point stands for (n). */
  counts: Float64Array;
  /** Means of their keys and of their values: (n, headDim) each. */
  means: Float64Array;
  values: Float64Array;
  /** Sum over all keys of the squares of k - the point's mean, by dimension: (headDim). */
  scatter: Float64Array;
  /** Sum over all keys of (v - the point's value)(k - the point's mean)^T: (headDim, headDim). */
  cross: Float64Array;
}

/** Rounds of k-means: with 1, 2, 4 and 8 the error on captured heads is .101, .100, .101 and .100. */
const ROUNDS = 2;

/**
 * At most `count` points in place of more. `metric` (headDim) weighs the squares of differences between keys; equal points
 * become one as long as there are no more than `count` different ones. The same points and seed give the same.
 */
export function mergePoints(points: Points, count: number, metric: Float64Array, seed: number): Points {
  const { headDim, counts } = points;
  if (counts.length <= count) return points;
  const roots = metric.map(Math.sqrt);
  const weighted = points.means.map((x, i) => x * (roots[i % headDim] as number));
  const centres = seedCentres(weighted, counts, count, headDim, seed);
  const nearest = new Int32Array(counts.length);
  for (let round = 0; round < ROUNDS; round++) {
    for (let j = 0; j < counts.length; j++) nearest[j] = nearestRow(centres, weighted, j * headDim, headDim);
    moveCentres(centres, weighted, counts, nearest, headDim);
  }
  return joinPoints(points, compact(nearest, count));
}

/** Centres (at most `count`, headDim): each drawn in proportion to a point's weight and squared distance from those before. */
function seedCentres(
  weighted: Float64Array,
  counts: Float64Array,
  count: number,
  headDim: number,
  seed: number,
): Float64Array {
  const n = counts.length;
  const uniform = createUniform(seed);
  const centres = new Float64Array(count * headDim);
  // The first is drawn by weight alone.
  const distances = new Float64Array(n).fill(1);
  for (let centre = 0; centre < count; centre++) {
    let total = 0;
    for (let j = 0; j < n; j++) total += (counts[j] as number) * (distances[j] as number);
    if (total === 0) return centres.subarray(0, centre * headDim);
    const drawn = drawPoint(counts, distances, uniform() * total);
    centres.set(weighted.subarray(drawn * headDim, (drawn + 1) * headDim), centre * headDim);
    for (let j = 0; j < n; j++) {
      const limit = centre === 0 ? Number.POSITIVE_INFINITY : (distances[j] as number);
      distances[j] = Math.min(limit, squaredDistance(weighted, j * headDim, centres, centre * headDim, headDim, limit));
    }
  }
  return centres;
}

function drawPoint(counts: Float64Array, distances: Float64Array, target: number): number {
  let rest = target;
  let last = 0;
  for (let j = 0; j < counts.length; j++) {
    const part = (counts[j] as number) * (distances[j] as number);
    if (part === 0) continue;
    rest -= part;
    last = j;
    if (rest < 0) break;
  }
  return last;
}

/** Dimensions after which a distance that is too large already is not computed to its end. */
const CHECK_EVERY = 16;

/** The squared distance of two rows, or something that is no less than `limit`. */
function squaredDistance(
  a: Float64Array,
  aFrom: number,
  b: Float64Array,
  bFrom: number,
  headDim: number,
  limit: number,
): number {
  let sum = 0;
  for (let start = 0; start < headDim; start += CHECK_EVERY) {
    const end = Math.min(headDim, start + CHECK_EVERY);
    for (let i = start; i < end; i++) {
      const difference = (a[aFrom + i] as number) - (b[bFrom + i] as number);
      sum += difference * difference;
    }
    if (sum >= limit) return sum;
  }
  return sum;
}

/** Number of the row that is nearest to another one; the first of equals. */
function nearestRow(rows: Float64Array, other: Float64Array, from: number, headDim: number): number {
  let [best, least] = [0, Number.POSITIVE_INFINITY];
  for (let c = 0, at = 0; at < rows.length; c++, at += headDim) {
    const distance = squaredDistance(other, from, rows, at, headDim, least);
    if (distance < least) [best, least] = [c, distance];
  }
  return best;
}

/** Moves every centre to the mean of its points; one that has none stays. */
function moveCentres(
  centres: Float64Array,
  weighted: Float64Array,
  counts: Float64Array,
  nearest: Int32Array,
  headDim: number,
): void {
  const sums = new Float64Array(centres.length);
  const masses = new Float64Array(centres.length / headDim);
  for (let j = 0; j < counts.length; j++) {
    const [c, count] = [nearest[j] as number, counts[j] as number];
    masses[c] = (masses[c] as number) + count;
    addRow(sums, c * headDim, weighted, j * headDim, headDim, count);
  }
  for (let c = 0; c < masses.length; c++) {
    const mass = masses[c] as number;
    if (mass === 0) continue;
    for (let i = c * headDim; i < (c + 1) * headDim; i++) centres[i] = (sums[i] as number) / mass;
  }
}

/** Adds `weight` times a row to another. */
function addRow(to: Float64Array, toFrom: number, rows: Float64Array, from: number, d: number, weight: number): void {
  for (let i = 0; i < d; i++) to[toFrom + i] = (to[toFrom + i] as number) + weight * (rows[from + i] as number);
}

/** Numbers of centres, without those that no point has. */
function compact(nearest: Int32Array, count: number): { numbers: Int32Array; count: number } {
  const renumbered = new Int32Array(count).fill(-1);
  let used = 0;
  const numbers = nearest.map((c) => {
    if (renumbered[c] === -1) renumbered[c] = used++;
    return renumbered[c] as number;
  });
  return { numbers, count: used };
}

/** The points of each number as one. */
function joinPoints(points: Points, { numbers, count }: { numbers: Int32Array; count: number }): Points {
  const { headDim, counts, means, values } = points;
  const joined: Points = {
    headDim,
    counts: new Float64Array(count),
    means: new Float64Array(count * headDim),
    values: new Float64Array(count * headDim),
    scatter: points.scatter.slice(),
    cross: points.cross.slice(),
  };
  for (const [j, c] of numbers.entries()) joined.counts[c] = (joined.counts[c] as number) + (counts[j] as number);
  for (const [j, c] of numbers.entries()) {
    const share = (counts[j] as number) / (joined.counts[c] as number);
    addRow(joined.means, c * headDim, means, j * headDim, headDim, share);
    addRow(joined.values, c * headDim, values, j * headDim, headDim, share);
  }
  const key = new Float64Array(headDim);
  for (const [j, c] of numbers.entries()) {
    const keys = counts[j] as number;
    for (let i = 0, from = j * headDim, to = c * headDim; i < headDim; i++, from++, to++) {
      const difference = (means[from] as number) - (joined.means[to] as number);
      key[i] = difference;
      joined.scatter[i] = (joined.scatter[i] as number) + keys * difference * difference;
    }
    for (let i = 0, from = j * headDim, to = c * headDim; i < headDim; i++, from++, to++) {
      const difference = (values[from] as number) - (joined.values[to] as number);
      if (difference !== 0) addRow(joined.cross, i * headDim, key, 0, headDim, keys * difference);
    }
  }
  return joined;
}

/** Numbers in [0, 1) that repeat with the seed (mulberry32, T. Ettinger). */
function createUniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}
