/**
 * Dropped keys as clusters: each with the number of its keys, their mean and the mean of their values, and second moments
 * that all clusters share. Within a cluster scores about the mean are small, which is where a polynomial stands for e^x
 * (degree 2: 1 + x + x^2 / 2; arXiv 2302.13214). With N keys in clusters c, and a = q / sqrt(d):
 *
 *   S = sum (k - k_c)^2 / N by dimension,  C = sum (v - v_c)(k - k_c)^T / N
 *   w_c = n_c e^(a.k_c),  W = sum w_c,  u = sum of a^2 S / 2
 *   sum e^(a.k) v ~ (1 + u) sum w_c v_c + W C a,  sum e^(a.k) ~ W (1 + u) >= W by Jensen's inequality
 *
 * On captured heads the diagonal S is as good as the whole matrix. Keys are folded in one pass, a buffer at a time: the
 * clusters so far and the keys of the buffer are points with weights, and are merged (`points.ts`). Relatives in the
 * literature: MomentKV (arXiv 2606.01563) keeps the moments of degree 1 of a single cluster, and arXiv 2311.14652 is one pass
 * over a prompt with polynomial features.
 */
import { fromHalves, type Halves, toHalves } from '../kernels/halves.ts';
import { mergePoints, type Points } from './points.ts';
import type { Correction, CreateRemains, LeavingKeys, Remains, RemainsRows } from './remains.ts';

/** Clusters of a head. */
const CLUSTERS = 64;
/** Keys that are merged with the clusters at once. */
export const BUFFER_KEYS = 256;

const UNIT_ROUNDOFF = 2 ** -24;

/** `Points` as they are kept from one fold to the next. A fold makes a new state. */
interface State {
  keys: number;
  counts: Float64Array;
  /** (clusters, headDim): in float32, so that the bound by Jensen's inequality is about the keys' own means. */
  means: Float32Array;
  /** (clusters, headDim) */
  values: Halves;
  /** S (headDim) and C (headDim, headDim): means over keys. */
  scatter: Float32Array;
  cross: Halves;
  /** Bound on how far rounding has moved a mean from that of its keys, in norm. */
  drift: number;
  /** Largest norm of a mean. */
  maxNorm: number;
}

/** Makes clusters, at most `clusters` of them a head. Default: 64. */
export const clustersOf =
  (clusters = CLUSTERS): CreateRemains =>
  (headDim) =>
    openClusters(headDim, clusters, emptyState(headDim));

function openClusters(headDim: number, clusters: number, initial: State): Remains {
  let state = initial;
  return {
    name: 'clusters',
    maxRows: clusters,
    get keys() {
      return state.keys;
    },
    get bytes() {
      const { counts, means, values, scatter, cross } = state;
      return [counts, means, values.bits, scatter, cross.bits].reduce((sum, { byteLength }) => sum + byteLength, 0);
    },
    fold(leaving) {
      state = foldKeys(state, headDim, clusters, leaving);
    },
    rows: () => rowsOf(state),
    corrector: () => correctorOf(state, headDim),
    copy: () => openClusters(headDim, clusters, state),
  };
}

const emptyState = (headDim: number): State => ({
  keys: 0,
  counts: new Float64Array(0),
  means: new Float32Array(0),
  values: toHalves(new Float64Array(0)),
  scatter: new Float32Array(headDim),
  cross: toHalves(new Float64Array(headDim * headDim)),
  drift: 0,
  maxNorm: 0,
});

function foldKeys(state: State, headDim: number, clusters: number, { keys, values, energies }: LeavingKeys): State {
  const metric = metricOf(energies);
  const order = orderOfRows(keys, values, headDim);
  let current = state;
  for (let from = 0; from < order.length; from += BUFFER_KEYS) {
    const buffer = order.subarray(from, from + BUFFER_KEYS);
    const points = withKeys(current, headDim, gather(keys, headDim, buffer), gather(values, headDim, buffer));
    const merged = mergePoints(points, clusters, metric, current.keys);
    current = stateOf(merged, current.keys + buffer.length, current.drift);
  }
  return current;
}

/** Energies as a metric in which different keys are never the same. */
function metricOf(energies: Float64Array): Float64Array {
  const largest = energies.reduce((a, b) => Math.max(a, b), 0);
  return largest === 0 ? energies.map(() => 1) : energies.map((energy) => energy + 1e-6 * largest);
}

/** The clusters, and keys (n, headDim) as points of their own behind them. */
function withKeys(state: State, headDim: number, keys: Float32Array, values: Float32Array): Points {
  const clusters = state.counts.length;
  const n = clusters + keys.length / headDim;
  const points: Points = {
    headDim,
    counts: new Float64Array(n).fill(1),
    means: new Float64Array(n * headDim),
    values: new Float64Array(n * headDim),
    scatter: Float64Array.from(state.scatter, (x) => x * state.keys),
    cross: new Float64Array(headDim * headDim),
  };
  points.counts.set(state.counts);
  points.means.set(state.means);
  points.means.set(keys, clusters * headDim);
  fromHalves(state.values, points.values);
  points.values.set(values, clusters * headDim);
  fromHalves(state.cross, points.cross);
  for (let i = 0; i < points.cross.length; i++) points.cross[i] = (points.cross[i] as number) * state.keys;
  return points;
}

function stateOf({ headDim, counts, means, values, scatter, cross }: Points, keys: number, drift: number): State {
  let maxNorm = 0;
  for (let at = 0; at < means.length; at += headDim) maxNorm = Math.max(maxNorm, normOf(means, at, headDim));
  return {
    keys,
    counts,
    means: Float32Array.from(means),
    values: toHalves(values),
    scatter: Float32Array.from(scatter, (x) => x / keys),
    cross: toHalves(cross.map((x) => x / keys)),
    // A mean of means that are off by some distance is off by no more, and is rounded: in float64, and once to float32.
    drift: drift + 1.01 * UNIT_ROUNDOFF * maxNorm,
    maxNorm,
  };
}

function rowsOf({ counts, means, values }: State): RemainsRows {
  const decoded = new Float64Array(means.length);
  fromHalves(values, decoded);
  return { logWeights: counts.map(Math.log), keys: means, values: decoded };
}

function correctorOf({ scatter, cross, drift, maxNorm }: State, headDim: number) {
  const matrix = new Float64Array(headDim * headDim);
  fromHalves(cross, matrix);
  return (query: ArrayLike<number>): Correction => {
    let u = 0;
    for (let i = 0; i < headDim; i++) u += ((query[i] as number) ** 2 * (scatter[i] as number)) / 2;
    const shift = new Float64Array(headDim);
    for (let i = 0, at = 0; i < headDim; i++) {
      let linear = 0;
      for (let j = 0; j < headDim; j++, at++) linear += (matrix[at] as number) * (query[j] as number);
      shift[i] = linear / (1 + u);
    }
    // Means may have drifted, and the query was rounded when it was scaled.
    const rounding = 1.01 * normOf(query, 0, headDim) * (drift + 2 * UNIT_ROUNDOFF * maxNorm);
    return { logFactor: Math.log1p(u), shift, rounding };
  };
}

function normOf(rows: ArrayLike<number>, from: number, headDim: number): number {
  let squared = 0;
  for (let i = from; i < from + headDim; i++) squared += (rows[i] as number) ** 2;
  return Math.sqrt(squared);
}

function gather(rows: Float32Array, headDim: number, order: Uint32Array): Float32Array {
  const gathered = new Float32Array(order.length * headDim);
  for (const [to, from] of order.entries()) {
    gathered.set(rows.subarray(from * headDim, (from + 1) * headDim), to * headDim);
  }
  return gathered;
}

/**
 * An order of rows that depends on their contents alone, so that buffers are the same in whatever order keys leave, and
 * that puts keys of all kinds into every buffer: by a hash, and where two have the same by their numbers.
 */
function orderOfRows(keys: Float32Array, values: Float32Array, headDim: number): Uint32Array {
  const n = keys.length / headDim;
  const bits = [keys, values].map((rows) => new Uint32Array(rows.slice().buffer));
  const hashes = new Uint32Array(n);
  for (let j = 0; j < n; j++) {
    let hash = 0x811c9dc5;
    for (const words of bits) {
      for (let at = j * headDim; at < (j + 1) * headDim; at++) {
        // FNV-1a over words; the shift brings high bits down, where float16 numbers have all of theirs.
        hash = Math.imul(hash ^ (words[at] as number), 0x01000193);
        hash ^= hash >>> 15;
      }
    }
    hashes[j] = hash;
  }
  const compare = (a: number, b: number) => {
    if (hashes[a] !== hashes[b]) return (hashes[a] as number) - (hashes[b] as number);
    for (const words of bits) {
      for (let i = 0; i < headDim; i++) {
        const difference = (words[a * headDim + i] as number) - (words[b * headDim + i] as number);
        if (difference !== 0) return difference;
      }
    }
    return 0;
  };
  return Uint32Array.from({ length: n }, (_, j) => j).sort(compare);
}
