/**
 * One-pass streaming attention (arXiv 2311.14652, Addanki, Li, Song, Yang): a state of constant size instead of a cache.
 *
 * With the polynomial features of `bounded-entries.ts`, e^<q, k> ~ <c phi(q), phi(k)>, attention is low rank, U_1 U_2^T, and
 *
 *   1. of every key and value        S += phi(k) v^T (t, d),   z += phi(k) (t)
 *   2. of every query i, once z is complete   u_i = c phi(q_i) / <c phi(q_i), z>;  row h_r(i) of C_r += s_r(i) u_i
 *   3. decode                        Z_r = C_r S (W, d);   T_il = median over r of s_r(i) Z_r[h_r(i), l]
 *
 * of which the k largest entries of a column l are kept. With R Count-Sketches (O(log n) of them) of W = 16 k rows,
 * ||T_l - y_l|| <= (1 + eps) min over k-sparse y' of ||y' - y_l|| + eps', y_l the column of the output, with a state that
 * does not depend on n. It is not causal and needs bounded entries.
 */
import { createFeatures, type Features } from './bounded-entries.ts';
import { atLeast, atMost, type Figure, type Method, outcomeOf } from './method.ts';
import { addScaled, at, checkCount, createRandom, descending, dot, hash, invalid, type Random } from './numbers.ts';

/** With 7, some of 65,536 entries share most of their rows with one of the large ones, and are taken for it. */
const ROWS = 11;
const BUCKETS_PER_ENTRY = 16;

export interface OnePass {
  addKey(key: Float64Array, value: Float64Array): void;
  /** Queries come after the last key. */
  addQuery(index: number, query: Float64Array): void;
  /** The k largest entries of column l of the output: T_il by i. */
  decode(n: number, column: number): Map<number, number>;
  /** Numbers in the state. */
  readonly floats: number;
}

export interface OnePassOptions {
  features: Features;
  /** Dimension of the values. */
  d: number;
  /** Entries of a column that are recovered. */
  k: number;
  seed: number;
}

export function createOnePass({ features, d, k, seed }: OnePassOptions): OnePass {
  checkCount(d, 'The dimension of the values', 1);
  checkCount(k, 'The number k of entries', 1);
  createRandom(seed);
  const t = features.count;
  const W = BUCKETS_PER_ENTRY * k;
  // S (t, d), z (t), C (ROWS, W, t)
  const S = new Float64Array(t * d);
  const z = new Float64Array(t);
  const C = new Float64Array(ROWS * W * t);
  const bucket = (r: number, i: number) => hash(i, seed * ROWS + r) % W;
  const sign = (r: number, i: number) => (hash(i, seed * ROWS + r + 0x40000000) & 1 ? -1 : 1);
  return {
    floats: S.length + z.length + C.length,
    addKey(key, value) {
      if (value.length !== d) throw invalid('A value has another dimension.', value.length, `Give ${d} numbers.`);
      const phi = features.ofKey(key);
      for (let a = 0; a < t; a++) addScaled(S, a * d, at(phi, a), value, 0, d);
      addScaled(z, 0, 1, phi, 0, t);
    },
    addQuery(index, query) {
      const phi = features.ofQuery(query);
      const denominator = dot(phi, 0, z, 0, t);
      if (!(denominator > 0)) throw invalid('A denominator is not positive.', denominator, 'Raise the degree.');
      for (let r = 0; r < ROWS; r++) {
        addScaled(C, (r * W + bucket(r, index)) * t, sign(r, index) / denominator, phi, 0, t);
      }
    },
    decode(n, column) {
      // Column l of Z: (ROWS, W)
      const Z = new Float64Array(ROWS * W);
      for (let row = 0; row < ROWS * W; row++) {
        let sum = 0;
        for (let a = 0; a < t; a++) sum += at(C, row * t + a) * at(S, a * d + column);
        Z[row] = sum;
      }
      const estimates = new Float64Array(n);
      const estimatesOfRows = new Float64Array(ROWS);
      for (let i = 0; i < n; i++) {
        for (let r = 0; r < ROWS; r++) estimatesOfRows[r] = sign(r, i) * at(Z, r * W + bucket(r, i));
        estimatesOfRows.sort();
        estimates[i] = at(estimatesOfRows, ROWS >> 1);
      }
      const order = descending(estimates.map(Math.abs)).slice(0, k);
      return new Map([...order].map((i) => [i, at(estimates, i)]));
    },
  };
}

const PLANTED = {
  d: 4,
  valueDim: 2,
  degree: 3,
  k: 10,
  lengths: [1024, 8192, 65_536],
  kinds: 64,
  quiet: 0.007,
  loud: 1,
};

/**
 * Keys are of a few kinds, in pairs k and -k with values +-u, which cancel for queries that look nowhere; ten queries
 * look along u. So few kinds make the exact output of every query cheap.
 */
function plantedStream(random: Random, n: number, entries: number) {
  const { d, k, kinds, quiet, loud } = PLANTED;
  const u = random.normals(d);
  const length = Math.sqrt(dot(u, 0, u, 0, d));
  for (let i = 0; i < d; i++) u[i] = at(u, i) / length;
  const half = Array.from({ length: kinds }, () =>
    Float64Array.from({ length: d }, () => entries * (2 * random.uniform() - 1)),
  );
  const keys = half.flatMap((key) => [key, key.map((x) => -x)]);
  const values = keys.map((key) => {
    const side = dot(key, 0, u, 0, d) > 0 ? 1 : -1;
    return Float64Array.of(side, -side);
  });
  const looking = new Set(random.distinct(k, n));
  const query = (i: number) =>
    looking.has(i) ? u.map((x) => loud * x) : random.normals(d).map((x) => (quiet / entries) * x);
  const queries = Array.from({ length: n }, (_, i) => query(i));
  return { keys, values, looking, queries };
}

function checkPlanted(random: Random, n: number, entries: number): Figure[] {
  const { d, valueDim, degree, k, loud } = PLANTED;
  const { keys, values, looking, queries } = plantedStream(random, n, entries);
  // The largest score that unit entries allow: |<q, k>| <= loud sqrt(d).
  const features = createFeatures({ d, degree, range: loud * Math.sqrt(d) });
  const state = createOnePass({ features, d: valueDim, k, seed: random.below(2 ** 24) });
  for (let j = 0; j < n; j++)
    state.addKey(keys[j % keys.length] as Float64Array, values[j % keys.length] as Float64Array);
  for (const [i, query] of queries.entries()) state.addQuery(i, query);
  const exact = Float64Array.from(queries, (query) => {
    let [numerator, denominator] = [0, 0];
    for (const [j, key] of keys.entries()) {
      const weight = Math.exp(dot(query, 0, key, 0, d));
      numerator += weight * at(values[j] as Float64Array, 0);
      denominator += weight;
    }
    return numerator / denominator;
  });
  const decoded = state.decode(n, 0);
  const best = new Set(descending(exact.map(Math.abs)).slice(0, k));
  let [error, least] = [0, 0];
  for (const [i, y] of exact.entries()) {
    error += (y - (decoded.get(i) ?? 0)) ** 2;
    if (!best.has(i)) least += y * y;
  }
  const foundCount = [...looking].filter((i) => decoded.has(i)).length;
  return [
    atLeast(`n = ${n}: queries found, of ${k}`, foundCount, k - 1),
    atMost(`n = ${n}: error / that of the best k-sparse column`, Math.sqrt(error / least), 1.25),
    atMost(
      `n = ${n}: numbers in the state`,
      state.floats,
      ROWS * BUCKETS_PER_ENTRY * k * features.count + features.count * (valueDim + 1),
    ),
  ];
}

export const onePass: Method = {
  name: 'one-pass',
  paper: '2311.14652',
  title: 'One pass streaming algorithm for super long token attention approximation in sublinear space',
  authors: 'Addanki, Li, Song, Yang',
  statement:
    'One pass over keys, values and queries, in memory that does not grow, recovers the largest outputs of every column.',
  criterion:
    'Of ten queries that look where the values do not cancel at least nine are found, the error is at most 1.25 times that of ' +
    'the best 10-sparse column, and the state has as many numbers at 1,024 as at 65,536 tokens.',
  place: {
    kind: 'serving',
    what: 'what stands for evicted keys: sums of features in clusters, made in one pass (with bounded entries).',
  },
  planted(seed) {
    const random = createRandom(seed);
    return outcomeOf(PLANTED.lengths.flatMap((n) => checkPlanted(random, n, 1)));
  },
  failing: {
    what: 'keys with entries of up to 3, which a polynomial of degree 3 does not fit',
    planted(seed) {
      const random = createRandom(seed);
      try {
        return outcomeOf(checkPlanted(random, 1024, 3));
      } catch {
        // A denominator that is not positive: nothing is found.
        return outcomeOf([atLeast('queries found', 0, 9)]);
      }
    },
  },
};
