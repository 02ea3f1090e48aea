/**
 * Conv-Basis (arXiv 2405.05219, Liang, Liu, Shi, Song, Xu, Yin; Findings of EMNLP 2025): attention as a sum of convolutions.
 *
 * H is the lower triangle (n, n) of the scores. conv(b, m) is the lower-triangular Toeplitz matrix of b in its m x m bottom
 * right corner. Every lower-triangular H is a sum of k of them, sum_i conv(b_i, m_i) with n = m_1 > ... > m_k; where k
 * is small, attention costs O(k n d log n):
 *
 *   recover   b_1 = column 0 of H; the next basis begins at the first column s whose T first entries differ from those
 *             of the sum so far by delta - 2 T eps in the 1-norm; b_i = column s of H less the sum so far            (1)
 *   exp       b~_1 = exp(b_1),  b~_i = exp(b_1 + .. + b_i) - exp(b_1 + .. + b_{i-1})                                  (2)
 *   apply     Y = D^-1 sum_i conv(b~_i, m_i) V,  each product by a real FFT;  D is the same applied to ones           (3)
 *
 * The search is binary, since columns behind the next start keep differing: (T, delta)-non-degeneracy. If H is eps-close
 * to such a sum, ||Y - Y~||_inf <= 2 (e^(2 eps) - 1) ||V||_inf                                                         (4)
 * (the constant from memory; the planted test checks it).
 */
import { fft, ifft } from 'fourier-transform';
import { atMost, type Figure, fact, type Method, outcomeOf, short } from './method.ts';
import { at, checkCount, checkPositive, createRandom, invalid, type Random } from './numbers.ts';

export interface Basis {
  /** Column of H in which it begins: m = n - start. */
  start: number;
  /** b_1 + .. + b_i: (m) */
  sum: Float64Array;
}

export interface RecoverOptions {
  n: number;
  /** Entry of H. */
  score(row: number, column: number): number;
  T: number;
  delta: number;
  eps: number;
}

/** (1). Throws `invalid-argument` where delta is not above the 2 T eps that noise alone may make. */
export function recover({ n, score, T, delta, eps }: RecoverOptions): Basis[] {
  checkCount(n, 'The number of columns', 1);
  checkCount(T, 'The length T of a segment', 1, n);
  checkPositive(delta, 'The distance delta');
  if (!(eps >= 0) || delta <= 2 * T * eps)
    throw invalid('delta does not exceed the noise, 2 T eps.', delta, 'Raise it.');
  const bases: Basis[] = [{ start: 0, sum: Float64Array.from({ length: n }, (_, row) => score(row, 0)) }];
  for (let from = 1; from <= n - T; ) {
    const sum = (bases.at(-1) as Basis).sum;
    const differs = (s: number) => {
      let distance = 0;
      for (let t = 0; t < T; t++) distance += Math.abs(score(s + t, s) - at(sum, t));
      return distance >= delta - 2 * T * eps;
    };
    // The first column from `from` on that differs; `high` where there is none.
    let [low, high] = [from, n - T + 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (differs(middle)) high = middle;
      else low = middle + 1;
    }
    if (low > n - T) break;
    const start = low;
    // b_i = H[s.., s] - u, and u += b_i: the new sum is the column itself.
    bases.push({ start, sum: Float64Array.from({ length: n - start }, (_, t) => score(start + t, start)) });
    from = start + 1;
  }
  return bases;
}

/** (2) and (3). `values` are (n, d), and so is the result. */
export function applyBases(bases: readonly Basis[], values: Float64Array, d: number): Float64Array {
  checkCount(d, 'The dimension of the values', 1);
  const n = values.length / d;
  if (bases[0]?.sum.length !== n) throw invalid('The bases have another length than the values.', n, 'Give n rows.');
  // The values (n, d) with a column of ones: numerators, and D.
  const result = new Float64Array(n * (d + 1));
  for (const [i, { start, sum }] of bases.entries()) {
    const m = n - start;
    const before = bases[i - 1]?.sum;
    const kernel = sum.map((x, t) => Math.exp(x) - (before === undefined ? 0 : Math.exp(at(before, t))));
    // A power of two from 2 m on, so that nothing wraps round.
    const length = 2 ** Math.ceil(Math.log2(2 * m));
    const padded = (numbers: (t: number) => number) =>
      Float64Array.from({ length }, (_, t) => (t < m ? numbers(t) : 0));
    const spectrum = (): [Float64Array, Float64Array] => [
      new Float64Array(length / 2 + 1),
      new Float64Array(length / 2 + 1),
    ];
    const [kernelRe, kernelIm] = fft(
      padded((t) => at(kernel, t)),
      spectrum(),
    );
    for (let column = 0; column <= d; column++) {
      const value = (t: number) => (column === d ? 1 : at(values, (start + t) * d + column));
      const [re, im] = fft(padded(value), spectrum());
      for (let f = 0; f < re.length; f++) {
        const [a, b] = [at(re, f), at(im, f)];
        re[f] = a * at(kernelRe, f) - b * at(kernelIm, f);
        im[f] = a * at(kernelIm, f) + b * at(kernelRe, f);
      }
      const convolved = ifft(re, im, new Float64Array(length));
      for (let t = 0; t < m; t++) {
        const to = (start + t) * (d + 1) + column;
        result[to] = at(result, to) + at(convolved, t);
      }
    }
  }
  return Float64Array.from({ length: n * d }, (_, i) => {
    const row = Math.floor(i / d) * (d + 1);
    return at(result, row + (i % d)) / at(result, row + d);
  });
}

const PLANTED = { n: 1024, k: 5, T: 16, delta: 4, d: 8, noises: [0, 1e-3, 1e-2] };

/** Causal attention of scores, row by row. */
function exactAttention(score: (row: number, column: number) => number, values: Float64Array, d: number): Float64Array {
  const output = new Float64Array(values.length);
  for (let row = 0; row < values.length / d; row++) {
    let total = 0;
    for (let column = 0; column <= row; column++) {
      const weight = Math.exp(score(row, column));
      total += weight;
      for (let i = 0; i < d; i++) output[row * d + i] = at(output, row * d + i) + weight * at(values, column * d + i);
    }
    for (let i = 0; i < d; i++) output[row * d + i] = at(output, row * d + i) / total;
  }
  return output;
}

/** A sum of k convolutions with uniform noise in [-eps, eps] on every entry. */
function plantedScores(random: Random, eps: number) {
  const { n, k, T } = PLANTED;
  const starts = [0, ...random.distinct(k - 1, Math.floor(n / (2 * T)) - 2).map((x) => 2 * T * (x + 1))];
  starts.sort((a, b) => a - b);
  const kernels = starts.map((start) => random.normals(n - start));
  const noise = Float64Array.from({ length: (n * (n + 1)) / 2 }, () => eps * (2 * random.uniform() - 1));
  const score = (row: number, column: number) => {
    let sum = at(noise, (row * (row + 1)) / 2 + column);
    for (const [i, kernel] of kernels.entries()) if (column >= at(starts, i)) sum += at(kernel, row - column);
    return sum;
  };
  return { starts, score };
}

function checkPlanted(
  random: Random,
  score: RecoverOptions['score'],
  starts: readonly number[],
  eps: number,
): Figure[] {
  const { n, k, T, delta, d } = PLANTED;
  let read = 0;
  const counted = (row: number, column: number) => {
    read++;
    return score(row, column);
  };
  const bases = recover({ n, score: counted, T, delta, eps });
  const wrong = bases.filter(({ start }, i) => start !== starts[i]).length + Math.abs(bases.length - starts.length);
  const figures = [
    atMost(`noise ${eps}: starts that are wrong`, wrong, 0),
    atMost(`noise ${eps}: entries of H that were read`, read, k * (n + T * Math.log2(n))),
  ];
  if (bases.length > 2 * k) return figures;
  const values = random.normals(n * d);
  const largestValue = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const exact = exactAttention(score, values, d);
  const output = applyBases(bases, values, d);
  const error = output.reduce((most, x, i) => Math.max(most, Math.abs(x - at(exact, i))), 0);
  const bound = Math.max(1e-10, 2 * Math.expm1(2 * eps) * largestValue);
  return [...figures, atMost(`noise ${eps}: largest error, bound (4)`, error, bound)];
}

export const convBasis: Method = {
  name: 'conv-basis',
  paper: '2405.05219',
  title: 'Conv-Basis: a new paradigm for efficient attention inference and gradient computation in transformers',
  authors: 'Liang, Liu, Shi, Song, Xu, Yin (Findings of EMNLP 2025)',
  statement:
    'Attention whose scores are a sum of k convolutions is recovered from few of them and applied in O(k n d log n).',
  criterion:
    'Five planted convolutions are found exactly, from at most k (n + T log n) entries, with an error within (4), at noise 0, ' +
    '0.001 and 0.01; RoPE with one query and one key is one convolution.',
  place: {
    kind: 'measuring',
    what: 'a column of measure: the share of the variance of scores that distance alone explains.',
  },
  planted(seed) {
    const random = createRandom(seed);
    const figures = PLANTED.noises.flatMap((eps) => {
      const { starts, score } = plantedScores(random, eps);
      return checkPlanted(random, score, starts, eps);
    });
    // RoPE of a constant query and key: cosines of the distance.
    const amplitudes = random.normals(8);
    const rope = (row: number, column: number) =>
      amplitudes.reduce((sum, x, i) => sum + x * Math.cos((row - column) * 10 ** (-i / 2)), 0);
    const bases = recover({ n: PLANTED.n, score: rope, T: PLANTED.T, delta: PLANTED.delta, eps: 0 });
    figures.push(atMost('RoPE with constant content: convolutions', bases.length, 1));
    const rows = PLANTED.noises.map((eps, i) => [
      String(eps),
      ...figures.slice(3 * i, 3 * i + 3).map(({ value }) => short(value)),
    ]);
    const columns = ['noise', 'wrong starts', 'entries read', 'largest error'];
    return outcomeOf(figures, [{ caption: `${PLANTED.k} convolutions of ${PLANTED.n} positions`, columns, rows }]);
  },
  failing: {
    what: 'scores that are independent normal numbers: every column needs a convolution of its own',
    planted(seed) {
      const random = createRandom(seed);
      const { n } = PLANTED;
      const scores = random.normals((n * (n + 1)) / 2);
      const score = (row: number, column: number) => at(scores, (row * (row + 1)) / 2 + column);
      const figures = checkPlanted(random, score, [0], 0);
      return outcomeOf([...figures, fact('columns', n)]);
    },
  },
};
