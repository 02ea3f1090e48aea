/**
 * Learning a latent simplex (arXiv 2105.08005, Bakshi, Bhattacharyya, Kannan, Woodruff, Zhou; ICLR 2021): k vertices of the
 * hull that the columns of X (d, n) were mixed from, in input-sparsity time.
 *
 *   1. Y, an orthonormal basis of the k leading left singular directions of X: a range finder of 2 k columns and one
 *      power step; the data are replaced by their projection on it
 *   2. for t = 1..k: a random direction u in Y, orthogonal to the vertices found so far; the p largest u.x or the p
 *      smallest, whichever mean is larger in size; the vertex is the mean of these p points (subset smoothing), and it
 *      extends what directions must be orthogonal to
 *
 * Found vertices are close to true ones where p points lie near each: sigma sqrt(d / p) and the points' own distance.
 *
 * A hull bounds the softmax of the keys E inside it [derived here]. With k_j = sum_i h_ji m_i + e_j, h_j in the simplex, for
 * every q, by convexity of exp,
 *
 *   sum_E e^{q.k_j} <= sum_i e^{q.m_i} sum_j h_ji e^{|q| |e_j|}                                                        (1)
 *   sum_E e^{q.k_j} >= sum_P |P| e^{q.mean_P}   for any grouping P of E (Jensen)                                      (2)
 */
import { EigenvalueDecomposition, Matrix, QrDecomposition } from 'ml-matrix';
import { median } from '../numerics/statistics.ts';
import { atMost, type Figure, type Method, outcomeOf, short } from './method.ts';
import { addScaled, at, checkCount, checkRows, createRandom, descending, dot, norm, type Random } from './numbers.ts';

export interface SimplexOptions {
  /** Vertices. */
  k: number;
  /** Points that a vertex is the mean of. */
  p: number;
  random: Random;
}

/** The vertices (k, d) of points (n, d). Clouds that lie off the origin should be centred first. */
export function latentSimplex(points: Float64Array, d: number, { k, p, random }: SimplexOptions): Float64Array {
  checkRows(points, d, 'The points');
  const n = points.length / d;
  checkCount(k, 'The number k of vertices', 1, n);
  checkCount(p, 'The number p of points a vertex', 1, n);
  const rank = Math.min(k, d);
  const Y = leadingDirections(points, d, rank, random);
  const vertices = new Float64Array(k * d);
  // Orthonormal directions, in the coordinates of Y, of the vertices found so far.
  let directions: Float64Array[] = [];
  for (let t = 0; t < k; t++) {
    // With as many vertices as directions, directions repeat.
    if (directions.length === rank) directions = [];
    const inY = orthogonal(random.normals(rank), directions);
    const u = new Float64Array(d);
    for (let a = 0; a < rank; a++) addScaled(u, 0, at(inY, a), Y, a * d, d);
    const scores = Float64Array.from({ length: n }, (_, j) => dot(u, 0, points, j * d, d));
    const order = descending(scores);
    const [top, bottom] = [order.slice(0, p), order.slice(n - p)];
    const size = (set: Uint32Array) => Math.abs(set.reduce((sum, j) => sum + at(scores, j), 0));
    for (const j of size(top) >= size(bottom) ? top : bottom) addScaled(vertices, t * d, 1 / p, points, j * d, d);
    const projected = Float64Array.from({ length: rank }, (_, a) => dot(vertices, t * d, Y, a * d, d));
    directions.push(orthogonal(projected, directions));
  }
  return vertices;
}

/** x less its part in `basis`, of length 1. */
function orthogonal(x: Float64Array, basis: readonly Float64Array[]): Float64Array {
  const rest = Float64Array.from(x);
  // Twice, against rounding.
  for (const b of [...basis, ...basis]) addScaled(rest, 0, -dot(rest, 0, b, 0, b.length), b, 0, b.length);
  const length = norm(rest) || 1;
  return rest.map((value) => value / length);
}

/** Step 1: (rank, d), orthonormal rows. */
function leadingDirections(points: Float64Array, d: number, rank: number, random: Random): Float64Array {
  const width = Math.min(2 * rank, d);
  // G = X^T X of the points (d, d): every power of it costs no other pass over them.
  const gram = new Float64Array(d * d);
  for (let from = 0; from < points.length; from += d) {
    for (let a = 0; a < d; a++) addScaled(gram, a * d, at(points, from + a), points, from, d);
  }
  const G = Matrix.from1DArray(d, d, gram);
  const sketch = G.mmul(G).mmul(Matrix.from1DArray(d, width, random.normals(d * width)));
  const Q = new QrDecomposition(sketch).orthogonalMatrix;
  const inside = new EigenvalueDecomposition(Q.transpose().mmul(G).mmul(Q), { assumeSymmetric: true });
  const order = descending(inside.realEigenvalues).slice(0, rank);
  const leading = Q.mmul(inside.eigenvectorMatrix.subMatrixColumn([...order]));
  return Float64Array.from(leading.transpose().to1DArray());
}

const PLANTED = { d: 64, k: 10, n: 3000, near: 50, sigmas: [0.1, 0.3, 0.6], size: 40, repetitions: 5, p: 10 };

/** Mixtures of k vertices, 50 of them next to each, with noise of deviation sigma on every coordinate. */
function plantedPoints(random: Random, sigma: number): { points: Float64Array; vertices: Float64Array } {
  const { d, k, n, near, size } = PLANTED;
  const vertices = random.normals(k * d).map((x) => size * x);
  const points = new Float64Array(n * d);
  for (let j = 0; j < n; j++) {
    const mixture = Float64Array.from({ length: k }, () => -Math.log(1 - random.uniform()));
    if (j < near * k) mixture.fill(0).fill(1, j % k, (j % k) + 1);
    const total = mixture.reduce((sum, x) => sum + x, 0);
    for (let i = 0; i < k; i++) addScaled(points, j * d, at(mixture, i) / total, vertices, i * d, d);
    for (let a = 0; a < d; a++) points[j * d + a] = at(points, j * d + a) + sigma * random.normal();
  }
  return { points, vertices };
}

/** The largest distance of a true vertex to the nearest found one. */
function worstVertex(vertices: Float64Array, directions: Float64Array, d: number): number {
  let worst = 0;
  for (let i = 0; i < vertices.length; i += d) {
    let nearest = Number.POSITIVE_INFINITY;
    for (let j = 0; j < directions.length; j += d) {
      let square = 0;
      for (let a = 0; a < d; a++) square += (at(vertices, i + a) - at(directions, j + a)) ** 2;
      nearest = Math.min(nearest, Math.sqrt(square));
    }
    worst = Math.max(worst, nearest);
  }
  return worst;
}

/** The worst vertex, the median over repetitions, of means of `p` points. */
function plantedError(random: Random, sigma: number, p: number): number {
  const { d, k, repetitions } = PLANTED;
  const runs = Array.from({ length: repetitions }, () => {
    const { points, vertices } = plantedPoints(random, sigma);
    return worstVertex(vertices, latentSimplex(points, d, { k, p, random }), d);
  });
  return median(runs);
}

const boundOf = (sigma: number): number => 2.5 * sigma * Math.sqrt(PLANTED.d / PLANTED.p);

export const latentSimplexMethod: Method = {
  name: 'latent-simplex',
  paper: '2105.08005',
  title: 'Learning a latent simplex in input-sparsity time',
  authors: 'Bakshi, Bhattacharyya, Kannan, Woodruff, Zhou (ICLR 2021)',
  statement:
    'The vertices that points were mixed from are found by k scans in random directions, each vertex the mean of p points.',
  criterion:
    'At noise sigma of 0.1, 0.3 and 0.6 on every coordinate every vertex is found within 2.5 sigma sqrt(d / p), p = 10.',
  place: {
    kind: 'none',
    what: 'none as an upper bound, which certifies nothing; its lower bound (Jensen, by cluster means) is a true alarm.',
  },
  planted(seed) {
    const random = createRandom(seed);
    const figures: Figure[] = [];
    const rows = PLANTED.sigmas.map((sigma) => {
      const [smooth, single] = [plantedError(random, sigma, PLANTED.p), plantedError(random, sigma, 1)];
      figures.push(atMost(`sigma = ${sigma}: worst vertex, p = 10`, smooth, boundOf(sigma)));
      return [String(sigma), short(single), short(smooth), short(boundOf(sigma))];
    });
    const columns = ['sigma', 'p = 1', 'p = 10', 'bound'];
    return outcomeOf(figures, [{ caption: 'Distance of the worst vertex, median', columns, rows }]);
  },
  failing: {
    what: 'p = 1: no smoothing',
    planted(seed) {
      const random = createRandom(seed);
      return outcomeOf(
        PLANTED.sigmas.map((sigma) =>
          atMost(`sigma = ${sigma}: worst vertex, p = 1`, plantedError(random, sigma, 1), boundOf(sigma)),
        ),
      );
    },
  },
};
