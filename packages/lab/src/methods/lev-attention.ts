/**
 * LevAttention (arXiv 2410.05462, Kannan, Bhattacharyya, Kacham, Woodruff; ICLR 2025): keys that can matter to some query.
 *
 * For attention of f(x) = |x|^p in place of e^x, A_ij = |<q_i, k_j>|^p / sum_l |<q_i, k_l>|^p. The sensitivity of a key
 *
 *   tau_j = sup over y of |<k_j, y>|^p / sum_l |<k_l, y>|^p                                                           (1)
 *
 * bounds its entry in every row, whatever the query. So U = { j : tau_j >= eps } holds every entry of eps or more, and
 * |U| <= d^(p/2) / eps by the paper's Lewis weights. Here p = 2r is lifted to p = 2 instead: phi_r(k) has all products of
 * r numbers of k, each times the root of its multinomial coefficient, so that
 *
 *   |<k, y>|^(2r) = <phi_r(k), phi_r(y)>^2                                                                            (2)
 *
 * and leverage scores of the lifted keys bound tau with |U| <= C(d + r - 1, r) / eps. Softmax is not in this class.
 */
import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { atMost, fact, type Method, outcomeOf, short } from './method.ts';
import {
  addScaled,
  at,
  checkCount,
  checkPositive,
  checkRows,
  createRandom,
  descending,
  dot,
  multinomial,
} from './numbers.ts';

/** Keys between two prunings of the one-pass form. */
const PRUNE_EVERY = 64;

/** phi_r of (2): (n, C(d + r - 1, r)) */
export function lifted(keys: Float64Array, d: number, r: number): { rows: Float64Array; width: number } {
  checkRows(keys, d, 'The keys');
  checkCount(r, 'The power r', 1, 4);
  // Every multiset of r dimensions, ascending, and the root of the number of its orders.
  const multisets: { dimensions: number[]; root: number }[] = [];
  const extend = (dimensions: number[]) => {
    if (dimensions.length === r) {
      multisets.push({ dimensions, root: Math.sqrt(multinomial(dimensions)) });
      return;
    }
    for (let i = dimensions.at(-1) ?? 0; i < d; i++) extend([...dimensions, i]);
  };
  extend([]);
  const width = multisets.length;
  const n = keys.length / d;
  const rows = new Float64Array(n * width);
  for (let j = 0; j < n; j++) {
    for (const [a, { dimensions, root }] of multisets.entries()) {
      rows[j * width + a] = dimensions.reduce((product, i) => product * at(keys, j * d + i), root);
    }
  }
  return { rows, width };
}

/** Pass 1: G = sum k k^T (d, d). */
function gramOf(keys: Float64Array, d: number): Matrix {
  const gram = new Float64Array(d * d);
  for (let j = 0; j < keys.length; j += d) {
    for (let a = 0; a < d; a++) addScaled(gram, a * d, at(keys, j + a), keys, j, d);
  }
  return Matrix.from1DArray(d, d, gram);
}

/** L^-1 (d, d) of G = L L^T. Where fewer directions than d have keys, 1e-12 of the mean diagonal is added first. */
function inverseFactor(gram: Matrix): Float64Array {
  const d = gram.rows;
  let factors = new CholeskyDecomposition(gram);
  if (!factors.isPositiveDefinite()) {
    const ridge = Math.max((1e-12 * gram.trace()) / d, Number.MIN_VALUE);
    factors = new CholeskyDecomposition(Matrix.add(gram, Matrix.eye(d, d, ridge)));
  }
  const lower = factors.lowerTriangularMatrix;
  const inverse = new Float64Array(d * d);
  for (let column = 0; column < d; column++) {
    for (let row = column; row < d; row++) {
      let rest = row === column ? 1 : 0;
      for (let i = column; i < row; i++) rest -= lower.get(row, i) * at(inverse, i * d + column);
      inverse[row * d + column] = rest / lower.get(row, row);
    }
  }
  return inverse;
}

/** tau = k^T G^-1 k = ||L^-1 k||^2 of the key that begins at `from`. */
function leverageOf(inverse: Float64Array, keys: Float64Array, from: number, d: number): number {
  let tau = 0;
  for (let row = 0; row < d; row++) tau += dot(inverse, row * d, keys, from, row + 1) ** 2;
  return tau;
}

/** Passes 1 and 2: the leverage (n) of every key, which for p = 2 is its sensitivity (1). Their sum is the rank of the keys. */
export function leverages(keys: Float64Array, d: number): Float64Array {
  checkRows(keys, d, 'The keys');
  const inverse = inverseFactor(gramOf(keys, d));
  return Float64Array.from({ length: keys.length / d }, (_, j) => leverageOf(inverse, keys, j * d, d));
}

/** U for f(x) = |x|^(2r): the keys that can have an entry of `eps` or more. */
function universalSet(keys: Float64Array, d: number, r: number, eps: number): Set<number> {
  checkPositive(eps, 'The share eps');
  const { rows, width } = lifted(keys, d, r);
  const tau = leverages(rows, width);
  return new Set([...tau.keys()].filter((j) => at(tau, j) >= eps));
}

/**
 * U of every prefix in one pass: d^2 numbers of G, and the candidates. A leverage only falls when keys are added, so a key
 * that falls below eps is in no later U, and after a pruning at most d / eps candidates are left. `onPrune` sees them.
 */
export function onePassSet(
  keys: Float64Array,
  d: number,
  eps: number,
  onPrune: (candidates: readonly number[], seen: number) => void,
): void {
  checkRows(keys, d, 'The keys');
  checkPositive(eps, 'The share eps');
  const gram = new Float64Array(d * d);
  let candidates: number[] = [];
  for (let j = 0; j < keys.length / d; j++) {
    for (let a = 0; a < d; a++) addScaled(gram, a * d, at(keys, j * d + a), keys, j * d, d);
    candidates.push(j);
    if ((j + 1) % PRUNE_EVERY !== 0) continue;
    onPrune(candidates, j + 1);
    const inverse = inverseFactor(Matrix.from1DArray(d, d, gram));
    candidates = candidates.filter((key) => leverageOf(inverse, keys, key * d, d) >= eps);
  }
}

const PLANTED = { n: 2000, d: 16, eps: 0.05, randomQueries: 1000, long: 20, lonely: 12 };

/** Normal keys of falling scales; some are six times as long, some short ones point where no other key does. */
function plantedKeys(seed: number): { keys: Float64Array; queries: Float64Array } {
  const { n, d, randomQueries, long, lonely } = PLANTED;
  const random = createRandom(seed);
  const keys = random.normals(n * d);
  for (let i = 0; i < keys.length; i++) keys[i] = at(keys, i) * 3 * 0.1 ** ((i % d) / (d - 1));
  const chosen = random.distinct(long + lonely, n);
  for (const j of chosen.slice(0, long)) for (let i = 0; i < d; i++) keys[j * d + i] = 6 * at(keys, j * d + i);
  // The last dimension is nearly theirs alone.
  for (let j = 0; j < n; j++) keys[j * d + d - 1] = 0.01 * random.normal();
  for (const j of chosen.slice(long)) keys.fill(0, j * d, j * d + d - 1).fill(0.5, j * d + d - 1, j * d + d);
  // Random queries, and of each key the worst one, y_j = G^-1 k_j, which attains (1) for p = 2.
  const worst = new CholeskyDecomposition(gramOf(keys, d)).solve(Matrix.from1DArray(n, d, keys).transpose());
  const queries = new Float64Array((randomQueries + n) * d);
  queries.set(random.normals(randomQueries * d));
  queries.set(worst.transpose().to1DArray(), randomQueries * d);
  return { keys, queries };
}

/** Entries of eps or more over all queries, how many of them are outside `set`, and the largest entry (n) of each key. */
function largeEntries(keys: Float64Array, queries: Float64Array, r: number, set: ReadonlySet<number>) {
  const { n, d, eps } = PLANTED;
  const attained = new Float64Array(n);
  let [large, missed] = [0, 0];
  const weights = new Float64Array(n);
  for (let y = 0; y < queries.length; y += d) {
    let total = 0;
    for (let j = 0; j < n; j++) {
      weights[j] = dot(keys, j * d, queries, y, d) ** (2 * r);
      total += at(weights, j);
    }
    for (let j = 0; j < n; j++) {
      const entry = at(weights, j) / total;
      if (entry > at(attained, j)) attained[j] = entry;
      if (entry < eps) continue;
      large++;
      if (!set.has(j)) missed++;
    }
  }
  return { large, missed, attained };
}

export const levAttention: Method = {
  name: 'lev-attention',
  paper: '2410.05462',
  title: 'LevAttention: time, space, and streaming efficient algorithm for heavy attentions',
  authors: 'Kannan, Bhattacharyya, Kacham, Woodruff (ICLR 2025)',
  statement:
    'For attention of |x|^p a set of keys, whose size does not depend on their number, holds every large entry of every query.',
  criterion:
    'No entry of 0.05 or more lies outside the set, p = 2 and 4, for random queries and the worst one of each key; ' +
    'leverages add up to the rank; the set has at most D / eps keys; one pass keeps all of it and no more than d / eps + 64.',
  place: {
    kind: 'none',
    what: 'none: the promise does not reach softmax, and after RoPE leverage picks what queries do not look at.',
  },
  planted(seed) {
    const { n, d, eps } = PLANTED;
    const { keys, queries } = plantedKeys(seed);
    const figures = [];
    const rows: string[][] = [];
    for (const r of [1, 2]) {
      const { rows: liftedKeys, width } = lifted(keys, d, r);
      const tau = leverages(liftedKeys, width);
      const set = new Set([...tau.keys()].filter((j) => at(tau, j) >= eps));
      const { large, missed, attained } = largeEntries(keys, queries, r, set);
      const sum = tau.reduce((total, x) => total + x, 0);
      figures.push(
        atMost(`p = ${2 * r}: large entries outside U`, missed, 0),
        atMost(`p = ${2 * r}: |sum of leverages - D|`, Math.abs(sum - width), 1e-9),
        atMost(`p = ${2 * r}: keys in U`, set.size, width / eps),
      );
      if (r === 1) {
        const gap = attained.reduce((most, x, j) => Math.max(most, Math.abs(x - at(tau, j))), 0);
        figures.push(atMost('p = 2: largest distance of a leverage from the entry that attains it', gap, 1e-9));
      }
      rows.push([String(2 * r), String(large), String(missed), String(set.size), short(width / eps)]);
    }
    let [most, lost] = [0, 0];
    onePassSet(keys, d, eps, (candidates, seen) => {
      most = Math.max(most, candidates.length);
      const tau = leverages(keys.subarray(0, seen * d), d);
      const kept = new Set(candidates);
      for (let j = 0; j < seen; j++) if (at(tau, j) >= eps && !kept.has(j)) lost++;
    });
    figures.push(
      atMost('one pass: keys of U that it lost, over all prefixes', lost, 0),
      atMost('one pass: largest number of candidates', most, d / eps + PRUNE_EVERY),
    );
    const columns = ['p', 'entries of eps or more', 'outside U', 'keys in U', 'bound'];
    return outcomeOf(figures, [{ caption: `${n} keys of ${d} dimensions, eps = ${eps}`, columns, rows }]);
  },
  failing: {
    what: 'as many keys, chosen by the largest norm',
    planted(seed) {
      const { n, d, eps } = PLANTED;
      const { keys, queries } = plantedKeys(seed);
      const norms = Float64Array.from({ length: n }, (_, j) => dot(keys, j * d, keys, j * d, d));
      const count = universalSet(keys, d, 1, eps).size;
      const { large, missed } = largeEntries(keys, queries, 1, new Set(descending(norms).slice(0, count)));
      return outcomeOf([fact('entries of eps or more', large), atMost('large entries outside the set', missed, 0)]);
    },
  },
};
