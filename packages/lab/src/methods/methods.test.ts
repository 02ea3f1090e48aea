/** Every method of the list by the conformance suite, and what is special about one. */
import { Matrix } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { createFeatures, evaluate, exponentialPolynomial, polynomialAttention } from './bounded-entries.ts';
import { applyBases, recover } from './conv-basis.ts';
import { selectColumns, whitened } from './feature-sparsification.ts';
import { playBandit } from './hinted-bandit.ts';
import { METHODS } from './index.ts';
import { pairAttention } from './kronecker.ts';
import { latentSimplex } from './latent-simplex.ts';
import { leverages, lifted, onePassSet } from './lev-attention.ts';
import { describeMethod } from './method.conformance.ts';
import { createRandom, dot } from './numbers.ts';
import { createOnePass } from './one-pass.ts';
import { createResidualSketch, tailNorms } from './residual-sketch.ts';
import { createHingeSketch, createPegasos } from './streaming-svm.ts';
import { createRefitRule, createSurprise } from './surprise.ts';

const SEEDS = [70_421, 3_141_592, 20_240_531];

const numbers = (count: number) => createRandom(1).normals(count);
const spoilt = (count: number) => numbers(count).fill(Number.NaN, 3, 4);
const pair = { n: 2, d: 2, Q: numbers(4), K1: numbers(4), K2: numbers(4), V1: numbers(4), V2: numbers(4) };
const features = createFeatures({ d: 2, degree: 2, range: 1 });

const BAD_ARGUMENTS: Readonly<Record<string, Readonly<Record<string, () => unknown>>>> = {
  'lev-attention': {
    'keys of another width': () => leverages(numbers(10), 4),
    'no keys': () => leverages(numbers(0), 4),
    'a key that is not finite': () => leverages(spoilt(8), 4),
    'a share of zero': () => onePassSet(numbers(8), 4, 0, () => {}),
    'a power of zero': () => lifted(numbers(8), 4, 0),
  },
  'residual-sketch': {
    'no size': () => createResidualSketch(0, 1),
    'an entry that is not finite': () => createResidualSketch(4, 1).add(0, 0, Number.NaN),
  },
  'conv-basis': {
    'noise above delta': () => recover({ n: 8, score: () => 0, T: 4, delta: 1, eps: 1 }),
    'segments longer than columns': () => recover({ n: 8, score: () => 0, T: 9, delta: 1, eps: 0 }),
    'values of another length': () => applyBases([{ start: 0, sum: numbers(8) }], numbers(9), 1),
  },
  'one-pass': {
    'no entries': () => createOnePass({ features, d: 2, k: 0, seed: 1 }),
    'a key of another dimension': () => createOnePass({ features, d: 2, k: 1, seed: 1 }).addKey(numbers(3), numbers(2)),
    'a query before any key': () => createOnePass({ features, d: 2, k: 1, seed: 1 }).addQuery(0, numbers(2)),
  },
  kronecker: {
    'too many tokens': () => pairAttention({ ...pair, n: 300 }),
    'values of another shape': () => pairAttention({ ...pair, V2: numbers(6) }),
    'a query that is not finite': () => pairAttention({ ...pair, Q: spoilt(4) }),
  },
  'feature-sparsification': {
    'rows that depend on each other': () => whitened(Matrix.ones(3, 9)),
    'no more columns than rows': () => selectColumns(whitened(Matrix.from1DArray(2, 9, numbers(18))), 1),
  },
  'bounded-entries': {
    'a negative degree': () => exponentialPolynomial(-1, 1),
    'a range of zero': () => exponentialPolynomial(2, 0),
    'a key of another dimension': () => features.ofKey(numbers(3)),
    'a denominator that is not positive': () =>
      polynomialAttention(createFeatures({ d: 1, degree: 1, range: 1 }), 1, {
        queries: Float64Array.of(-9),
        keys: Float64Array.of(9),
        values: Float64Array.of(1),
      }),
  },
  'latent-simplex': {
    'more vertices than points': () => latentSimplex(numbers(8), 4, { k: 3, p: 1, random: createRandom(1) }),
    'a point that is not finite': () => latentSimplex(spoilt(8), 4, { k: 1, p: 1, random: createRandom(1) }),
  },
  'streaming-svm': {
    'a point outside the interval': () => createHingeSketch(10, 4).add(1.5, 1),
    'no cells': () => createHingeSketch(10, 0),
    'lambda of zero': () => createPegasos(2, 0),
  },
  'hinted-bandit': {
    'no policies': () =>
      playBandit({ rounds: 1, arms: 2, policies: [], squaredErrors: null, random: createRandom(1) }, () => {
        throw new Error('No round is played.');
      }),
    'a squared error of zero': () =>
      playBandit(
        { rounds: 1, arms: 2, policies: [Uint8Array.of(0)], squaredErrors: 0, random: createRandom(1) },
        () => {
          throw new Error('No round is played.');
        },
      ),
  },
  surprise: {
    'lambda of zero': () => createSurprise(2, 0),
    'a vector of another dimension': () => createSurprise(2, 1).of(numbers(3)),
  },
};

for (const method of METHODS) {
  describeMethod(method, { seeds: SEEDS, badArguments: BAD_ARGUMENTS[method.name] ?? {} });
}

describe('the list of methods', () => {
  it('has each under a name of its own, with the arguments that it refuses', () => {
    expect(METHODS.map(({ name }) => name).sort()).toEqual(Object.keys(BAD_ARGUMENTS).sort());
    for (const { name } of METHODS) expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
  });
});

describe('leverages', () => {
  it('are all 1 where there are fewer keys than dimensions', () => {
    for (const tau of leverages(numbers(12), 4)) expect(tau).toBeCloseTo(1, 6);
  });

  it('are those of a case by hand', () => {
    // G = diag(5, 9)
    expect([...leverages(Float64Array.of(1, 0, 2, 0, 0, 3), 2)]).toEqual([
      expect.closeTo(0.2, 12),
      expect.closeTo(0.8, 12),
      expect.closeTo(1, 12),
    ]);
  });

  it('of lifted keys have the power of an inner product', () => {
    const [x, y] = [lifted(numbers(5), 5, 3).rows, lifted(createRandom(2).normals(5), 5, 3).rows];
    expect(dot(x, 0, y, 0, x.length)).toBeCloseTo(dot(numbers(5), 0, createRandom(2).normals(5), 0, 5) ** 3, 10);
  });
});

describe('the residual sketch', () => {
  it('is exact for a matrix that it holds without collisions', () => {
    const sketch = createResidualSketch(512, 3);
    for (const [i, x] of [3, 4, 12].entries()) sketch.add(i, i, x);
    const [all, one, two, three] = sketch.residuals([0, 1, 2, 3]);
    expect([all, one, two, three]).toEqual([13, 5, 3, 0].map((x) => expect.closeTo(x, 6)));
    expect(tailNorms(Matrix.diag([3, 4, 12]), [1])).toEqual([expect.closeTo(5, 9)]);
  });
});

describe('bounded entries', () => {
  it('have the polynomial as the inner product of features', () => {
    const [q, k] = [
      numbers(4).map((x) => x / 2),
      createRandom(2)
        .normals(4)
        .map((x) => x / 2),
    ];
    const quintic = createFeatures({ d: 4, degree: 5, range: 2 });
    expect(quintic.count).toBe(126);
    const product = dot(quintic.ofQuery(q), 0, quintic.ofKey(k), 0, quintic.count);
    expect(product).toBeCloseTo(evaluate(exponentialPolynomial(5, 2), dot(q, 0, k, 0, 4)), 10);
    expect(quintic.delta).toBeLessThan(0.04);
  });
});

describe('the refit rule', () => {
  it('asks for a fit when the determinant has doubled: a case by hand', () => {
    // In one dimension det = 1 + the sum of squares: 2, 3, 4, 5, 6, 7, 8.
    const rule = createRefitRule(1, 1);
    const fits = Array.from({ length: 7 }, () => rule.take(Float64Array.of(1)));
    expect(fits).toEqual([true, false, true, false, false, false, true]);
  });
});

describe('barrier selection', () => {
  it('keeps the condition that it promises on any input', () => {
    const W = whitened(Matrix.from1DArray(6, 40, createRandom(5).normals(240)));
    for (const c of [2, 3, 5]) {
      const { indices, factors } = selectColumns(W, c);
      const Y = W.subMatrixColumn(indices).mulRowVector(factors);
      const ratios = Array.from({ length: 50 }, (_, i) => {
        const x = Matrix.columnVector(createRandom(i).normals(6));
        return Y.transpose().mmul(x).norm() ** 2 / x.norm() ** 2;
      });
      const promised = ((Math.sqrt(c) + 1) / (Math.sqrt(c) - 1)) ** 2;
      expect(Math.max(...ratios) / Math.min(...ratios)).toBeLessThan(promised);
      expect(indices.length).toBeLessThanOrEqual(Math.ceil(6 * c));
    }
  });
});
