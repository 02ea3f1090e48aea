/**
 * Fast attention requires bounded entries (arXiv 2302.13214, Alman, Song; NeurIPS 2023): attention by polynomial features.
 *
 * If every score is within [-R, R], e^x is a polynomial p of degree g = O(max(log(1/eps) / log(log(1/eps) / R), R)) to
 * within eps (Aggarwal and Alman), and p(<q, k>) is an inner product of C(d + g, g) monomials:
 *
 *   p(x) = sum_a p_a x^a,   phi(x) = all monomials of x of degree <= g,   weight p_|a| |a|! / prod a_i!               (1)
 *   <phi_w(q), phi(k)> = p(<q, k>)                                                                                    (2)
 *   S = sum phi(k) v^T,  z = sum phi(k);   output = phi_w(q) S / phi_w(q) z                                           (3)
 *
 * so attention costs O(n C(d + g, g)). With delta = max |p / exp - 1| on [-R, R], delta < 1, the output is off by at most
 * 2 delta / (1 - delta) ||V||_inf (4). p is the Chebyshev interpolation of exp. Beyond R = o(sqrt(log n)) no algorithm
 * is subquadratic (under SETH), and so the paper's title.
 */
import { atLeast, atMost, type Figure, type Method, outcomeOf, short } from './method.ts';
import { addScaled, at, checkCount, checkPositive, createRandom, dot, invalid, multinomial } from './numbers.ts';

/** p_0 .. p_g of the Chebyshev interpolation of exp on [-R, R]. */
export function exponentialPolynomial(degree: number, range: number): Float64Array {
  checkCount(degree, 'The degree', 0, 30);
  checkPositive(range, 'The range R');
  const nodes = degree + 1;
  // exp(R x) = sum_m b_m T_m(x), b_m by the discrete cosine transform at the nodes.
  const b = Float64Array.from({ length: nodes }, (_, m) => {
    let sum = 0;
    for (let i = 0; i < nodes; i++) {
      const angle = (Math.PI * (i + 0.5)) / nodes;
      sum += Math.exp(range * Math.cos(angle)) * Math.cos(m * angle);
    }
    return ((m === 0 ? 1 : 2) / nodes) * sum;
  });
  // T_0 = 1, T_1 = x, T_m = 2 x T_{m-1} - T_{m-2}, as coefficients of x / R.
  const coefficients = new Float64Array(nodes);
  let [before, current] = [new Float64Array(nodes), new Float64Array(nodes)];
  current[0] = 1;
  for (let m = 0; m < nodes; m++) {
    for (let a = 0; a <= m; a++) coefficients[a] = at(coefficients, a) + (at(b, m) * at(current, a)) / range ** a;
    const next = current.map(
      (_, a) => (m === 0 ? 1 : 2) * (a === 0 ? 0 : at(current, a - 1)) - (m === 0 ? 0 : at(before, a)),
    );
    [before, current] = [current, next];
  }
  return coefficients;
}

/** delta of (4), on a grid. */
function relativeDistance(coefficients: Float64Array, range: number): number {
  let delta = 0;
  for (let i = 0; i <= 1000; i++) {
    const x = range * (i / 500 - 1);
    delta = Math.max(delta, Math.abs(evaluate(coefficients, x) / Math.exp(x) - 1));
  }
  return delta;
}

export function evaluate(coefficients: Float64Array, x: number): number {
  let sum = 0;
  for (let a = coefficients.length - 1; a >= 0; a--) sum = sum * x + at(coefficients, a);
  return sum;
}

export interface Features {
  /** C(d + g, g) */
  readonly count: number;
  /** max |p / exp - 1| on [-R, R]. */
  readonly delta: number;
  /** phi(k): (count) */
  ofKey(key: Float64Array): Float64Array;
  /** phi_w(q): (count), so that the inner product of both is p(<q, k>). */
  ofQuery(query: Float64Array): Float64Array;
}

export interface FeatureOptions {
  d: number;
  degree: number;
  /** R: no score is larger in size. */
  range: number;
}

/** The features of (1). */
export function createFeatures({ d, degree, range }: FeatureOptions): Features {
  checkCount(d, 'The dimension', 1);
  const p = exponentialPolynomial(degree, range);
  // Every monomial is one of a degree less times x_i, i at least the last dimension of that one.
  const monomials: { parent: number; dimension: number; weight: number }[] = [
    { parent: 0, dimension: 0, weight: at(p, 0) },
  ];
  let [from, multiplicities] = [0, [[] as number[]]];
  for (let g = 1; g <= degree; g++) {
    const to = monomials.length;
    const next: number[][] = [];
    for (let parent = from; parent < to; parent++) {
      const dimensions = multiplicities[parent - from] as number[];
      for (let i = dimensions.at(-1) ?? 0; i < d; i++) {
        const product = [...dimensions, i];
        monomials.push({ parent, dimension: i, weight: at(p, g) * multinomial(product) });
        next.push(product);
      }
    }
    [from, multiplicities] = [to, next];
  }
  const ofKey = (x: Float64Array) => {
    if (x.length !== d) throw invalid('A vector has another dimension.', x.length, `Give ${d} numbers.`);
    const phi = new Float64Array(monomials.length);
    phi[0] = 1;
    for (let a = 1; a < phi.length; a++) {
      const { parent, dimension } = monomials[a] as (typeof monomials)[0];
      phi[a] = at(phi, parent) * at(x, dimension);
    }
    return phi;
  };
  return {
    count: monomials.length,
    delta: relativeDistance(p, range),
    ofKey,
    ofQuery: (query) => ofKey(query).map((x, a) => x * (monomials[a] as (typeof monomials)[0]).weight),
  };
}

/** (3): the outputs (queries, d_v). Throws `invalid-argument` where a denominator is not positive. */
export function polynomialAttention(
  features: Features,
  d: number,
  { queries, keys, values }: { queries: Float64Array; keys: Float64Array; values: Float64Array },
): Float64Array {
  const n = keys.length / d;
  const valueDim = values.length / n;
  // S (t, d_v), z (t)
  const S = new Float64Array(features.count * valueDim);
  const z = new Float64Array(features.count);
  for (let j = 0; j < n; j++) {
    const phi = features.ofKey(keys.subarray(j * d, (j + 1) * d));
    for (let a = 0; a < phi.length; a++) addScaled(S, a * valueDim, at(phi, a), values, j * valueDim, valueDim);
    addScaled(z, 0, 1, phi, 0, phi.length);
  }
  const rows = queries.length / d;
  const outputs = new Float64Array(rows * valueDim);
  for (let i = 0; i < rows; i++) {
    const phi = features.ofQuery(queries.subarray(i * d, (i + 1) * d));
    const denominator = dot(phi, 0, z, 0, phi.length);
    if (!(denominator > 0)) throw invalid('A denominator is not positive.', denominator, 'Raise the degree.');
    for (let a = 0; a < phi.length; a++)
      addScaled(outputs, i * valueDim, at(phi, a) / denominator, S, a * valueDim, valueDim);
  }
  return outputs;
}

const PLANTED = {
  n: 1000,
  queries: 100,
  d: 6,
  valueDim: 4,
  ranges: [1, 2, 4, 8],
  degrees: [1, 2, 3, 4, 5, 6],
  wanted: 1e-2,
};

/** Entries within sqrt(R / d), so that no score is beyond R; the values are within 1. */
function plantedInput(seed: number, range: number) {
  const { n, queries, d, valueDim } = PLANTED;
  const random = createRandom(seed);
  const uniform = (count: number, size: number) =>
    Float64Array.from({ length: count }, () => size * (2 * random.uniform() - 1));
  const size = Math.sqrt(range / d);
  return { queries: uniform(queries * d, size), keys: uniform(n * d, size), values: uniform(n * valueDim, 1) };
}

/** The largest error of an output; infinite where a denominator is not positive. */
function largestError(input: ReturnType<typeof plantedInput>, features: Features): number {
  const { d, n, valueDim } = PLANTED;
  const { queries, keys, values } = input;
  let outputs: Float64Array;
  try {
    outputs = polynomialAttention(features, d, input);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
  let most = 0;
  for (let i = 0; i < queries.length / d; i++) {
    const output = new Float64Array(valueDim);
    let total = 0;
    for (let j = 0; j < n; j++) {
      const weight = Math.exp(dot(queries, i * d, keys, j * d, d));
      total += weight;
      addScaled(output, 0, weight, values, j * valueDim, valueDim);
    }
    for (let l = 0; l < valueDim; l++)
      most = Math.max(most, Math.abs(at(output, l) / total - at(outputs, i * valueDim + l)));
  }
  return most;
}

const boundOf = (delta: number) => (2 * delta) / (1 - delta);

export const boundedEntries: Method = {
  name: 'bounded-entries',
  paper: '2302.13214',
  title: 'Fast attention requires bounded entries',
  authors: 'Alman, Song (NeurIPS 2023)',
  statement:
    'Where scores are small, attention is a sum of polynomial features of the keys, in linear time; where they are not, it is not.',
  criterion:
    'The largest error is within 2 delta / (1 - delta) wherever delta < 1, for R = 1, 2, 4, 8 and degrees 1 to 6; the degree ' +
    'that reaches 0.01 rises with R, is at most 2 for R = 2 and at least 4 for R = 8.',
  place: {
    kind: 'serving',
    what: 'inside clusters of evicted keys, where scores about the centre are small.',
  },
  planted(seed) {
    const { ranges, degrees, d, wanted } = PLANTED;
    const figures: Figure[] = [];
    const rows: string[][] = [];
    const reached: number[] = [];
    for (const range of ranges) {
      const input = plantedInput(seed, range);
      const cells = degrees.map((degree) => {
        const features = createFeatures({ d, degree, range });
        const error = largestError(input, features);
        // Beyond delta = 1 nothing is promised.
        if (features.delta < 1)
          figures.push(atMost(`R = ${range}, degree ${degree}: largest error`, error, boundOf(features.delta)));
        return error;
      });
      const first = cells.findIndex((error) => error <= wanted);
      reached.push(first === -1 ? degrees.length + 1 : at(degrees, first));
      rows.push([String(range), ...cells.map((error) => (Number.isFinite(error) ? short(error) : 'refused'))]);
    }
    for (const [i, degree] of reached.entries()) {
      if (i > 0) figures.push(atLeast(`R = ${ranges[i]}: degree that reaches ${wanted}`, degree, at(reached, i - 1)));
    }
    figures.push(atMost('R = 2: degree that reaches 0.01', at(reached, 1), 2));
    figures.push(atLeast('R = 8: degree that reaches 0.01', at(reached, 3), 4));
    const columns = ['R', ...degrees.map((degree) => `degree ${degree}`)];
    return outcomeOf(figures, [{ caption: 'Largest error of an output', columns, rows }]);
  },
  failing: {
    what: 'scores of up to 8 with degree 2',
    planted(seed) {
      const error = largestError(plantedInput(seed, 8), createFeatures({ d: PLANTED.d, degree: 2, range: 8 }));
      return outcomeOf([atMost('largest error', Math.min(error, Number.MAX_VALUE), PLANTED.wanted)]);
    },
  },
};
