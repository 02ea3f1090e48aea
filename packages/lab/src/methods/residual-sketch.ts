/**
 * Optimal sketching for residual error estimation (arXiv 2408.08494, Li, Lin, Woodruff; NeurIPS 2024): how much of a
 * matrix is left beyond rank k, from a sketch of it that never holds the matrix.
 *
 *   C = S A T,  r x r,  r = c k / eps^2                                                                               (1)
 *   ||A - A_k||_F  ~  ( sum_{i > k} sigma_i(C)^2 )^(1/2)                                                              (2)
 *
 * S sends row i to row h(i) of C with the sign s(i), and T does so with columns (CountSketch), so an entry of A costs one
 * addition: C[h(i), h'(j)] += s(i) s'(j) A_ij. The paper shows r = O(k / eps^2) in each dimension, r^2 = Theta(k^2 / eps^4)
 * numbers in all, to be enough and needed. The estimate is low by about c k / r, because the k largest singular
 * values of the sketched noise are taken off as well.
 */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { median } from '../numerics/statistics.ts';
import { atMost, fact, type Method, outcomeOf, short } from './method.ts';
import { at, checkCount, createRandom, hash, invalid, type Random } from './numbers.ts';

/** A sketch of a matrix that tells how much is left beyond a rank. */
export interface ResidualSketch {
  /** A_ij += value. */
  add(row: number, column: number, value: number): void;
  /** Adds a row whose columns have been sketched already, by a T of the caller's: row T (r). */
  addSketchedRow(row: number, sketched: ArrayLike<number>): void;
  /** (2), for every rank of `ranks`; rank 0 is the norm of the matrix. */
  residuals(ranks: readonly number[]): number[];
}

/**
 * A sketch (1) of r x r numbers. Rows and columns may be any whole numbers below 2^32. `sketch` (r, r) is what was sketched
 * before, which is added to in place.
 */
export function createResidualSketch(
  r: number,
  seed: number,
  sketch: Float32Array | Float64Array = new Float64Array(r * r),
): ResidualSketch {
  checkCount(r, 'The size r of the sketch', 1, 4096);
  createRandom(seed);
  if (sketch.length !== r * r) throw invalid('A sketch has r x r numbers.', sketch.length, `Give ${r * r} numbers.`);
  return {
    addSketchedRow(row, sketched) {
      const left = hash(row, 2 * seed);
      const to = ((left >>> 1) % r) * r;
      const sign = left & 1 ? -1 : 1;
      for (let i = 0; i < r; i++) sketch[to + i] = at(sketch, to + i) + sign * at(sketched, i);
    },
    add(row, column, value) {
      if (!Number.isFinite(value)) throw invalid('An entry is not finite.', value, 'Give finite numbers.');
      const [left, right] = [hash(row, 2 * seed), hash(column, 2 * seed + 1)];
      // h from the upper bits, s from the lowest.
      const to = (left >>> 1) % r;
      const from = (right >>> 1) % r;
      const sign = (left ^ right) & 1 ? -1 : 1;
      sketch[to * r + from] = at(sketch, to * r + from) + sign * value;
    },
    residuals: (ranks) => tailNorms(Matrix.from1DArray(r, r, sketch), ranks),
  };
}

/** The root of the sum of the squared singular values beyond each rank, from the eigenvalues of C^T C. */
export function tailNorms(matrix: Matrix, ranks: readonly number[]): number[] {
  const smaller = matrix.rows < matrix.columns ? matrix.mmul(matrix.transpose()) : matrix.transpose().mmul(matrix);
  const squares = new EigenvalueDecomposition(smaller, { assumeSymmetric: true }).realEigenvalues;
  const falling = squares.map((x) => Math.max(0, x)).sort((a, b) => b - a);
  return ranks.map((k) => Math.sqrt(falling.slice(k).reduce((sum, x) => sum + x, 0)));
}

const PLANTED = { m: 600, n: 360, k: 4, factors: [10, 20, 40], repetitions: 5, spikes: 20 };

type Kind = 'rank k and noise' | 'power law' | 'noise alone' | 'spikes in noise';
const KINDS: readonly Kind[] = ['rank k and noise', 'power law', 'noise alone', 'spikes in noise'];

function plantedMatrix(kind: Kind, random: Random): Matrix {
  const { m, n, k, spikes } = PLANTED;
  const noise = () => Matrix.from1DArray(m, n, random.normals(m * n));
  const product = (rank: number, scale: (i: number) => number) => {
    const left = Matrix.from1DArray(m, rank, random.normals(m * rank));
    const right = Matrix.from1DArray(rank, n, random.normals(rank * n));
    for (let i = 0; i < rank; i++) right.mulRow(i, scale(i));
    return left.mmul(right);
  };
  if (kind === 'noise alone') return noise();
  if (kind === 'rank k and noise') return noise().add(product(k, () => 3));
  if (kind === 'power law') return product(n / 4, (i) => (i + 1) ** -0.8);
  const matrix = noise();
  const [rows, columns] = [random.distinct(spikes, m), random.distinct(spikes, n)];
  // What is left of the spikes beyond rank k has 1.3 times the energy of the noise.
  const size = Math.sqrt((1.3 * m * n) / (spikes - k));
  for (const [i, row] of rows.entries()) matrix.set(row, at(columns, i), size * (1 + (spikes - i) / (10 * spikes)));
  return matrix;
}

function estimate(matrix: Matrix, r: number, seed: number): number {
  const sketch = createResidualSketch(r, seed);
  for (let i = 0; i < matrix.rows; i++) {
    for (let j = 0; j < matrix.columns; j++) sketch.add(i, j, matrix.get(i, j));
  }
  return at(sketch.residuals([PLANTED.k]), 0);
}

export const residualSketch: Method = {
  name: 'residual-sketch',
  paper: '2408.08494',
  title: 'Optimal sketching for residual error estimation for matrix and vector norms',
  authors: 'Li, Lin, Woodruff (NeurIPS 2024)',
  statement:
    'A sketch of r x r numbers, r = O(k / eps^2), tells to within 1 +- eps what is left of a matrix beyond rank k.',
  criterion:
    'On four kinds of matrices the median relative error falls from r = 10k to 40k and is at most 0.10 at 40k.',
  place: {
    kind: 'measuring',
    what: 'a column of measure: what rank 4 leaves of the attention of a head over many queries tells how hard it is.',
  },
  planted(seed) {
    const { k, factors, repetitions } = PLANTED;
    const random = createRandom(seed);
    const figures = [];
    const rows: string[][] = [];
    for (const kind of KINDS) {
      const matrix = plantedMatrix(kind, random);
      const exact = at(tailNorms(matrix, [k]), 0);
      const errors = factors.map((factor) => {
        const estimates = Array.from({ length: repetitions }, () =>
          estimate(matrix, factor * k, random.below(2 ** 31)),
        );
        return median(estimates.map((residual) => Math.abs(residual / exact - 1)));
      });
      figures.push(
        atMost(`${kind}: error at r = 40k`, at(errors, 2), 0.1),
        atMost(`${kind}: the same, times that at r = 10k`, at(errors, 2) / at(errors, 0), 1),
      );
      rows.push([kind, ...errors.map(short)]);
    }
    const columns = ['matrix', ...factors.map((factor) => `r = ${factor}k`)];
    return outcomeOf(figures, [{ caption: 'Relative error of the estimate, median over sketches', columns, rows }]);
  },
  failing: {
    what: 'as many rows and columns, drawn uniformly, on the matrix with spikes',
    planted(seed) {
      const { m, n, k } = PLANTED;
      const random = createRandom(seed);
      const matrix = plantedMatrix('spikes in noise', random);
      const exact = at(tailNorms(matrix, [k]), 0);
      const r = 40 * k;
      const estimates = Array.from({ length: PLANTED.repetitions }, () => {
        const part = matrix.selection(random.distinct(r, m), random.distinct(r, n)).mul(Math.sqrt((m * n) / (r * r)));
        return at(tailNorms(part, [k]), 0);
      });
      const ratio = median(estimates) / exact;
      return outcomeOf([fact('estimate / true', ratio), atMost('error at r = 40k', Math.abs(ratio - 1), 0.1)]);
    },
  },
};
