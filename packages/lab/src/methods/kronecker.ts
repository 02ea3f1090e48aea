/**
 * Kronecker attention (arXiv 2310.04064, Alman, Song; ICLR 2024): attention to pairs of keys, which finds triples.
 *
 *   score of (i, j1, j2) = sum_l Q_il K1_{j1 l} K2_{j2 l}                                                              (1)
 *   output_i = sum_{j1, j2} e^score V1_{j1} * V2_{j2} / sum_{j1, j2} e^score         (* is entry by entry)             (2)
 *
 * that is D^-1 exp(Q (K1 (/) K2)^T) (V1 (/) V2) with the column-wise Kronecker product (/). It takes O(n^3 d), and under
 * SETH no algorithm is truly faster where entries are large; where they are small, the features of `bounded-entries.ts`
 * split the double sum, since (k1 * k2)^a = k1^a k2^a:
 *
 *   numerator_l = sum_a c_a q^a (sum_j1 k1^a v1_l) (sum_j2 k2^a v2_l)                                                  (3)
 *
 * Match3 asks which tokens x_i have j1, j2 with x_i + x_j1 + x_j2 = 0 mod M, which one layer of softmax attention of
 * bounded width cannot say (Sanford, Hsu, Telgarsky 2023). With d = 4 and angles a = 2 pi x / M,
 *
 *   Q = beta (cos, -cos, -sin, -sin),  K1 = (cos, sin, cos, sin),  K2 = (cos, sin, sin, cos)                            (4)
 *
 * the score is beta cos(2 pi (x_i + x_j1 + x_j2) / M), largest exactly where the sum is 0.
 */
import { createFeatures, type Features } from './bounded-entries.ts';
import { atLeast, atMost, fact, type Method, outcomeOf, short } from './method.ts';
import { addScaled, at, checkRows, createRandom, invalid, max } from './numbers.ts';

/** Q, K1, K2, V1, V2: (n, d) each. */
export interface Triples {
  n: number;
  d: number;
  Q: Float64Array;
  K1: Float64Array;
  K2: Float64Array;
  V1: Float64Array;
  V2: Float64Array;
}

function check({ n, d, ...inputs }: Triples): void {
  if (n > 256) throw invalid('Attention to pairs takes n^3 steps: too many tokens.', n, 'Give 256 at most.');
  for (const [name, rows] of Object.entries(inputs)) {
    checkRows(rows, d, name);
    if (rows.length !== n * d) throw invalid(`${name} has another shape than (n, d).`, rows.length, 'Give n rows.');
  }
}

/** Scores (n, n) of the pairs of query i. */
function pairScores({ n, d, Q, K1, K2 }: Triples, i: number): Float64Array {
  const scores = new Float64Array(n * n);
  for (let j1 = 0; j1 < n; j1++) {
    for (let j2 = 0; j2 < n; j2++) {
      let sum = 0;
      for (let l = 0; l < d; l++) sum += at(Q, i * d + l) * at(K1, j1 * d + l) * at(K2, j2 * d + l);
      scores[j1 * n + j2] = sum;
    }
  }
  return scores;
}

/** (2), by three loops, with the row maximum taken off: (n, d). */
export function pairAttention(input: Triples): Float64Array {
  check(input);
  const { n, d, V1, V2 } = input;
  const output = new Float64Array(n * d);
  for (let i = 0; i < n; i++) {
    const scores = pairScores(input, i);
    const largest = max(scores);
    let total = 0;
    for (let j1 = 0; j1 < n; j1++) {
      for (let j2 = 0; j2 < n; j2++) {
        const weight = Math.exp(at(scores, j1 * n + j2) - largest);
        total += weight;
        for (let l = 0; l < d; l++) {
          output[i * d + l] = at(output, i * d + l) + weight * at(V1, j1 * d + l) * at(V2, j2 * d + l);
        }
      }
    }
    for (let l = 0; l < d; l++) output[i * d + l] = at(output, i * d + l) / total;
  }
  return output;
}

/** (3): (n, d), two sums over the tokens. Throws `invalid-argument` where a denominator is not positive. */
export function pairPolynomial(input: Triples, features: Features): Float64Array {
  check(input);
  const { n, d, Q, K1, K2, V1, V2 } = input;
  const t = features.count;
  // sum_j k^a v_l and, in the last column, sum_j k^a: (t, d + 1)
  const summed = (K: Float64Array, V: Float64Array) => {
    const sums = new Float64Array(t * (d + 1));
    for (let j = 0; j < n; j++) {
      const phi = features.ofKey(K.subarray(j * d, (j + 1) * d));
      for (let a = 0; a < t; a++) {
        addScaled(sums, a * (d + 1), at(phi, a), V, j * d, d);
        sums[a * (d + 1) + d] = at(sums, a * (d + 1) + d) + at(phi, a);
      }
    }
    return sums;
  };
  const [first, second] = [summed(K1, V1), summed(K2, V2)];
  const output = new Float64Array(n * d);
  for (let i = 0; i < n; i++) {
    const phi = features.ofQuery(Q.subarray(i * d, (i + 1) * d));
    const sums = Float64Array.from({ length: d + 1 }, (_, l) => {
      let sum = 0;
      for (let a = 0; a < t; a++) sum += at(phi, a) * at(first, a * (d + 1) + l) * at(second, a * (d + 1) + l);
      return sum;
    });
    const denominator = at(sums, d);
    if (!(denominator > 0)) throw invalid('A denominator is not positive.', denominator, 'Raise the degree.');
    for (let l = 0; l < d; l++) output[i * d + l] = at(sums, l) / denominator;
  }
  return output;
}

const PLANTED = { n: 24, d: 4, M: 31, tokens: 5, beta: 400, range: 4, degrees: [2, 4, 6, 8, 10] };

/** Tokens of few kinds, so that some have a triple and some have none. */
function plantedTokens(seed: number): { x: number[]; matches: boolean[] } {
  const { n, M, tokens } = PLANTED;
  const random = createRandom(seed);
  for (;;) {
    const kinds = random.distinct(tokens, M);
    const x = Array.from({ length: n }, () => at(kinds, random.below(tokens)));
    const matches = x.map((token) => x.some((a) => x.some((b) => (token + a + b) % M === 0)));
    if (matches.includes(true) && matches.includes(false)) return { x, matches };
  }
}

/** (4). The values are the keys, so that the output in the direction of the query is the mean score. */
function match3(x: readonly number[], beta: number): Triples {
  const { n, d, M } = PLANTED;
  const rows = (entries: (cos: number, sin: number) => number[]) =>
    Float64Array.from(
      x.flatMap((token) => entries(Math.cos((2 * Math.PI * token) / M), Math.sin((2 * Math.PI * token) / M))),
    );
  const K1 = rows((cos, sin) => [cos, sin, cos, sin]);
  const K2 = rows((cos, sin) => [cos, sin, sin, cos]);
  return { n, d, Q: rows((cos, sin) => [cos, -cos, -sin, -sin].map((entry) => beta * entry)), K1, K2, V1: K1, V2: K2 };
}

/** Mean score of each token over beta: 1 where all of its weight is on matching triples. */
function meanCosines({ n, d, Q }: Triples, output: Float64Array, beta: number): number[] {
  return Array.from({ length: n }, (_, i) => {
    let sum = 0;
    for (let l = 0; l < d; l++) sum += at(Q, i * d + l) * at(output, i * d + l);
    return sum / beta;
  });
}

/** The least mean cosine of a token with a triple less the largest of one without. */
function gap(cosines: readonly number[], matches: readonly boolean[]): number {
  const of = (matching: boolean) => cosines.filter((_, i) => matches[i] === matching);
  return Math.min(...of(true)) - Math.max(...of(false));
}

export const kronecker: Method = {
  name: 'kronecker',
  paper: '2310.04064',
  title: 'How to capture higher-order correlations? Generalizing matrix softmax attention to Kronecker computation',
  authors: 'Alman, Song (ICLR 2024)',
  statement:
    'Attention to pairs of keys finds triples; it is near-linear where entries are small, and cubic where they are not.',
  criterion:
    'The score is a cosine of the sum of three tokens to 1e-12; at beta = 400 the output tells tokens with a triple from those ' +
    'without, exactly; polynomials agree within 2 delta / (1 - delta) at beta = 4.',
  place: { kind: 'none', what: 'none: no model is trained with it, and a triple costs O(n^2) a query.' },
  planted(seed) {
    const { n, d, M, beta, range, degrees } = PLANTED;
    const { x, matches } = plantedTokens(seed);
    let deviation = 0;
    const unit = match3(x, 1);
    for (let i = 0; i < n; i++) {
      for (const [pair, score] of pairScores(unit, i).entries()) {
        const sum = at(x, i) + at(x, Math.floor(pair / n)) + at(x, pair % n);
        deviation = Math.max(deviation, Math.abs(score - Math.cos((2 * Math.PI * sum) / M)));
      }
    }
    const sharp = match3(x, beta);
    const figures = [
      atMost('largest deviation of a score from the cosine', deviation, 1e-12),
      atLeast(
        'beta = 400: gap between tokens with and without a triple',
        gap(meanCosines(sharp, pairAttention(sharp), beta), matches),
        1e-3,
      ),
    ];
    const small = match3(x, range);
    const exact = pairAttention(small);
    const rows = degrees.map((degree) => {
      const features = createFeatures({ d, degree, range });
      let error = Number.POSITIVE_INFINITY;
      try {
        error = max(pairPolynomial(small, features).map((y, i) => Math.abs(y - at(exact, i))));
      } catch {
        // A denominator that is not positive: nothing is promised.
      }
      const bound = (2 * features.delta) / (1 - features.delta);
      if (features.delta < 1) figures.push(atMost(`beta = 4, degree ${degree}: largest error`, error, bound));
      return [
        String(degree),
        Number.isFinite(error) ? short(error) : 'refused',
        features.delta < 1 ? short(bound) : 'none',
      ];
    });
    for (const value of [8, 50, beta])
      figures.push(fact(`beta = ${value}: share of the softmax on triples`, shareOnTriples(x, value)));
    return outcomeOf(figures, [
      { caption: `Polynomials at beta = ${range}`, columns: ['degree', 'largest error', 'bound'], rows },
    ]);
  },
  failing: {
    what: 'the polynomial of degree 6 at the beta that the task needs',
    planted(seed) {
      const { d, beta } = PLANTED;
      const { x, matches } = plantedTokens(seed);
      const sharp = match3(x, beta);
      const exact = pairAttention(sharp);
      // Where it refuses, nothing is said of any token.
      let [found, error] = [-1, 1];
      try {
        const output = pairPolynomial(sharp, createFeatures({ d, degree: 6, range: beta }));
        found = gap(meanCosines(sharp, output, beta), matches);
        error = max(output.map((y, i) => Math.abs(y - at(exact, i))));
      } catch {}
      return outcomeOf([
        atLeast('gap between tokens with and without a triple', found, 1e-3),
        atMost('largest error', error, 1e-2),
      ]);
    },
  },
};

/** The least share that a token with a triple pays to its triples. */
function shareOnTriples(x: readonly number[], beta: number): number {
  const { n, M } = PLANTED;
  const input = match3(x, beta);
  const shares: number[] = [];
  for (let i = 0; i < n; i++) {
    let [on, total] = [0, 0];
    for (const [pair, score] of pairScores(input, i).entries()) {
      const weight = Math.exp(score - beta);
      total += weight;
      if ((at(x, i) + at(x, Math.floor(pair / n)) + at(x, pair % n)) % M === 0) on += weight;
    }
    if (on > 0) shares.push(on / total);
  }
  return Math.min(...shares);
}
