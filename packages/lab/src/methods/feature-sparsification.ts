/**
 * Feature sparsification (arXiv 2304.04397, Deng, Mahadevan, Song): softmax of X X^T, X (n, d) with d much larger than n,
 * from a few reweighted columns Y (n, m) of X.
 *
 *   W = C X,  C the inverse factor of X X^T, so that sum_l w_l w_l^T = I;   tau_l = ||w_l||^2,  sum tau = n            (1)
 *   randomised, m = O(n log(n / delta)):  draw columns with p_l = tau_l / n, scale them by 1 / sqrt(m p_l)             (2)
 *   deterministic, m = c n (Batson, Spielman, Srivastava 2009): barriers u and l move by
 *     d_U = (sqrt c + 1) / (sqrt c - 1) and d_L = 1;  in every step a column w with L(w) >= U(w) is taken,
 *     U(w) = w^T (u' I - A)^-2 w / (Phi^u - Phi^u') + w^T (u' I - A)^-1 w,          Phi^u = tr (u I - A)^-1
 *     L(w) = w^T (A - l' I)^-2 w / (Phi_l' - Phi_l) - w^T (A - l' I)^-1 w,          Phi_l = tr (A - l I)^-1
 *     A += s w w^T with 1 / s between them; in the end cond(A) <= ((sqrt c + 1) / (sqrt c - 1))^2                      (3)
 *
 * The paper's claim, an error of O(r) in the softmax where |X X^T| < r, cannot fail: Y = 0 keeps it, since all scores are
 * small. So the spectral statement is what is tried: (1 - eps) X X^T <= Y Y^T <= (1 + eps) X X^T.
 */
import { CholeskyDecomposition, EigenvalueDecomposition, inverse, Matrix } from 'ml-matrix';
import { fitLine, median } from '../numerics/statistics.ts';
import { atLeast, atMost, fact, type Method, outcomeOf, short } from './method.ts';
import { at, checkCount, createRandom, invalid, max, type Random } from './numbers.ts';

/** Columns of X, each with the factor that it has in Y. */
export interface Columns {
  indices: number[];
  factors: number[];
}

/** (1): W (n, d). Throws `invalid-argument` where X X^T has no inverse. */
export function whitened(X: Matrix): Matrix {
  const gram = X.mmul(X.transpose());
  const factors = new CholeskyDecomposition(gram);
  if (!factors.isPositiveDefinite())
    throw invalid('The rows depend on each other.', `${X.rows} rows`, 'Leave some out.');
  return inverse(factors.lowerTriangularMatrix).mmul(X);
}

/** tau of (1): (d) */
const leveragesOf = (W: Matrix): number[] =>
  Array.from({ length: W.columns }, (_, l) => W.getColumn(l).reduce((sum, x) => sum + x * x, 0));

/** (2), with the probabilities given: those of leverages, or others to compare. */
export function sampleColumns(probabilities: readonly number[], m: number, random: Random): Columns {
  checkCount(m, 'The number m of columns', 1);
  const cumulative = new Float64Array(probabilities.length);
  let total = 0;
  for (const [l, p] of probabilities.entries()) {
    total += p;
    cumulative[l] = total;
  }
  const indices = Array.from({ length: m }, () => {
    const drawn = random.uniform() * total;
    const place = cumulative.findIndex((x) => x > drawn);
    return place === -1 ? probabilities.length - 1 : place;
  });
  return { indices, factors: indices.map((l) => 1 / Math.sqrt((m * at(probabilities, l)) / total)) };
}

/** (3): m = c n columns, of which one may be taken again. */
export function selectColumns(W: Matrix, c: number): Columns {
  if (!(c > 1)) throw invalid('The ratio c of columns to rows must be above 1.', c, 'Raise it.');
  const [n, root] = [W.rows, Math.sqrt(c)];
  const [stepUp, stepLow] = [(root + 1) / (root - 1), 1];
  let [upper, lower] = [(n * (c + root)) / (root - 1), -n * root];
  // A (n, n)
  const A = Matrix.zeros(n, n);
  const weights = new Map<number, number>();
  const columns = Array.from({ length: W.columns }, (_, l) => W.getColumn(l));
  const potential = (shift: number) => inverse(Matrix.eye(n, n, shift).sub(A));
  let next = 0;
  for (let step = 0; step < Math.ceil(c * n); step++) {
    const [before, below] = [potential(upper).trace(), -potential(lower).trace()];
    upper += stepUp;
    lower += stepLow;
    // (u' I - A)^-1 and (A - l' I)^-1
    const over = potential(upper);
    const under = potential(lower).mul(-1);
    const [dropOver, riseUnder] = [before - over.trace(), under.trace() - below];
    // The next column, in turn, of which the lower barrier gains as much as the upper one loses.
    for (let tried = 0; ; tried++, next = (next + 1) % columns.length) {
      if (tried > columns.length)
        throw invalid('No column keeps both barriers.', `step ${step}`, 'Give W with W W^T = I.');
      const w = columns[next] as number[];
      const [upperSquare, upperFirst] = quadratics(over, w);
      const [lowerSquare, lowerFirst] = quadratics(under, w);
      const U = upperSquare / dropOver + upperFirst;
      const L = lowerSquare / riseUnder - lowerFirst;
      if (L < U || U <= 0) continue;
      const scale = 2 / (U + L);
      for (let a = 0; a < n; a++) for (let b = 0; b < n; b++) A.set(a, b, A.get(a, b) + scale * at(w, a) * at(w, b));
      weights.set(next, (weights.get(next) ?? 0) + scale);
      next = (next + 1) % columns.length;
      break;
    }
  }
  return { indices: [...weights.keys()], factors: [...weights.values()].map(Math.sqrt) };
}

/** w^T B^2 w = ||B w||^2, and w^T B w, of a symmetric B. */
function quadratics(B: Matrix, w: readonly number[]): [number, number] {
  let [square, first] = [0, 0];
  for (let a = 0; a < w.length; a++) {
    let product = 0;
    for (let b = 0; b < w.length; b++) product += B.get(a, b) * at(w, b);
    square += product * product;
    first += product * at(w, a);
  }
  return [square, first];
}

/** Eigenvalues of C Y Y^T C^T, ascending: all are 1 where Y Y^T = X X^T. */
function spectrum(W: Matrix, { indices, factors }: Columns): number[] {
  const chosen = W.subMatrixColumn(indices).mulRowVector(factors);
  const product = chosen.mmul(chosen.transpose());
  return new EigenvalueDecomposition(product, { assumeSymmetric: true }).realEigenvalues.sort((a, b) => a - b);
}

/** ||C (Y Y^T - X X^T) C^T||_2 */
const spectralError = (W: Matrix, columns: Columns): number => max(spectrum(W, columns).map((x) => Math.abs(x - 1)));

const PLANTED = { n: 32, d: 4096, lonely: 8, multiples: [2, 4, 8, 16], repetitions: 10, ratios: [2, 4], r: 0.1 };

/** Normal rows, of which eight have nearly all of their mass in a column of their own; |X X^T| < r. */
function plantedRows(random: Random): Matrix {
  const { n, d, lonely, r } = PLANTED;
  const X = Matrix.from1DArray(n, d, random.normals(n * d));
  for (const [row, column] of random.distinct(lonely, d).entries()) {
    X.mulRow(row, 0.05);
    X.set(row, column, Math.sqrt(d));
  }
  const largest = max(X.mmul(X.transpose()).to1DArray().map(Math.abs));
  return X.mul(Math.sqrt((0.99 * r) / largest));
}

/** The largest change of an entry of the softmax of X X^T (n, n) when it becomes that of Y Y^T. */
function softmaxError(X: Matrix, Y: Matrix | null): number {
  const softmaxed = (gram: Matrix) =>
    gram.to2DArray().flatMap((row) => {
      const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
      return row.map((x) => Math.exp(x) / total);
    });
  const exact = softmaxed(X.mmul(X.transpose()));
  const approximate = softmaxed(Y === null ? Matrix.zeros(X.rows, X.rows) : Y.mmul(Y.transpose()));
  return max(exact.map((p, i) => Math.abs(p - at(approximate, i))));
}

export const featureSparsification: Method = {
  name: 'feature-sparsification',
  paper: '2304.04397',
  title: 'Randomized and deterministic attention sparsification algorithms for over-parameterized feature dimension',
  authors: 'Deng, Mahadevan, Song',
  statement:
    'For softmax of X X^T with many more columns than rows, O(n log n) reweighted columns, or O(n) chosen ones, are enough.',
  criterion:
    'With 16 n columns drawn by leverage the median spectral error is at most 0.6 and falls with a slope between -0.8 and -0.4; ' +
    'barrier selection keeps the condition that it promises.',
  place: {
    kind: 'serving',
    what: 'its question, which features of the keys the softmax needs, asked of the bits of the scan: weighted features.',
  },
  planted(seed) {
    const { n, multiples, repetitions, ratios } = PLANTED;
    const random = createRandom(seed);
    const X = plantedRows(random);
    const W = whitened(X);
    const tau = leveragesOf(W);
    const uniform = tau.map(() => 1);
    const medians = (probabilities: readonly number[]) =>
      multiples.map((multiple) =>
        median(
          Array.from({ length: repetitions }, () =>
            spectralError(W, sampleColumns(probabilities, multiple * n, random)),
          ),
        ),
      );
    const [leverage, evenly] = [medians(tau), medians(uniform)];
    const logs = (numbers: readonly number[]) => numbers.map(Math.log);
    const falls = fitLine(logs(multiples), logs(leverage)).slope;
    const drawn = sampleColumns(tau, 16 * n, random);
    const Y = X.subMatrixColumn(drawn.indices).mulRowVector(drawn.factors);
    const figures = [
      atMost('|sum of leverages - n|', Math.abs(tau.reduce((sum, x) => sum + x, 0) - n), 1e-8),
      atMost('m = 16 n: spectral error, median', at(leverage, 3), 0.6),
      atLeast('slope of its logarithm in that of m', falls, -0.8),
      atMost('slope of its logarithm in that of m', falls, -0.4),
      ...ratios.map((c) => {
        const chosen = spectrum(W, selectColumns(W, c));
        const promised = ((Math.sqrt(c) + 1) / (Math.sqrt(c) - 1)) ** 2;
        return atMost(`barriers, c = ${c}: condition`, at(chosen, n - 1) / at(chosen, 0), promised);
      }),
      fact('error of the softmax with m = 16 n', softmaxError(X, Y)),
      fact('error of the softmax with Y = 0', softmaxError(X, null)),
    ];
    const rows = multiples.map((multiple, i) => [`${multiple} n`, short(at(leverage, i)), short(at(evenly, i))]);
    return outcomeOf(figures, [
      { caption: 'Spectral error, median', columns: ['columns', 'by leverage', 'uniform'], rows },
    ]);
  },
  failing: {
    what: 'columns drawn uniformly',
    planted(seed) {
      const { n, repetitions } = PLANTED;
      const random = createRandom(seed);
      const W = whitened(plantedRows(random));
      const probabilities = new Array<number>(W.columns).fill(1);
      const errors = Array.from({ length: repetitions }, () => {
        return spectralError(W, sampleColumns(probabilities, 16 * n, random));
      });
      return outcomeOf([atMost('m = 16 n: spectral error, median', median(errors), 0.6)]);
    },
  },
};
