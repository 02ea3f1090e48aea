/**
 * Reinforcement learning via surprise bound (arXiv 2302.11634, Zhu, Wang, Lee; AISTATS 2023): regret of poly(iota H) sqrt T with
 * O(H log K) regressions, iota the surprise bound of the function class. The linear case:
 *
 *   u(z) = sup_f f(z)^2 / (lambda |f|^2 + sum_{D} f(z_i)^2) = phi(z)^T Lambda^-1 phi(z),
 *   Lambda = lambda I + sum_{D} phi phi^T                                                                             (1)
 *   z enters D if u(z) >= tau^2:  Lambda^-1 by Sherman and Morrison, ln det Lambda += ln(1 + u)                        (2)
 *   refit when det Lambda has doubled since the last fit                                                              (3)
 *
 * What is left out is predicted by D to within tau. By the elliptical potential, with |phi| <= 1,
 *
 *   |D| <= d ln(1 + |D| / (lambda d)) / ln(1 + tau^2),  and at most d log2(1 + |D| / (lambda d)) refits                (4)
 */
import { atMost, type Figure, fact, type Method, outcomeOf } from './method.ts';
import { addScaled, at, checkCount, checkPositive, createRandom, dot, invalid, max, type Random } from './numbers.ts';

export interface Surprise {
  /** u of (1): what D says nothing about is above 1 / lambda |phi|^2 at most. */
  of(phi: Float64Array): number;
  /** (2), whatever the surprise is. */
  take(phi: Float64Array): void;
  /** ln det(Lambda / lambda) */
  readonly logDeterminant: number;
}

/** An empty D. */
export function createSurprise(d: number, lambda: number): Surprise {
  checkCount(d, 'The dimension', 1);
  checkPositive(lambda, 'lambda');
  // Lambda^-1 (d, d), and its product with phi (d)
  const inverse = new Float64Array(d * d);
  for (let a = 0; a < d; a++) inverse[a * d + a] = 1 / lambda;
  const product = new Float64Array(d);
  let logDeterminant = 0;
  const of = (phi: Float64Array) => {
    if (phi.length !== d) throw invalid('A vector has another dimension.', phi.length, `Give ${d} numbers.`);
    for (let a = 0; a < d; a++) product[a] = dot(inverse, a * d, phi, 0, d);
    return dot(product, 0, phi, 0, d);
  };
  return {
    of,
    take(phi) {
      const u = of(phi);
      for (let a = 0; a < d; a++) addScaled(inverse, a * d, -at(product, a) / (1 + u), product, 0, d);
      logDeterminant += Math.log1p(u);
    },
    get logDeterminant() {
      return logDeterminant;
    },
  };
}

/** Decides when a fit has to be made again. */
export interface RefitRule {
  /** Takes a row (d); true where what was fitted to the rows so far should be fitted anew. */
  take(phi: Float64Array): boolean;
}

/**
 * (3): a basis or clusters no longer fit what has come since when ln det Lambda has grown by ln 2. For a basis of the scan
 * that is fitted to what is cached: the scan's rotation is fixed so far, so nothing has to be refitted.
 */
export function createRefitRule(d: number, lambda: number): RefitRule {
  const surprise = createSurprise(d, lambda);
  let fitted = 0;
  return {
    take(phi) {
      surprise.take(phi);
      if (surprise.logDeterminant < fitted + Math.LN2) return false;
      fitted = surprise.logDeterminant;
      return true;
    },
  };
}

const PLANTED = { points: 20_000, d: 20, lambda: 1, tau: 0.5, rare: 40 };

/** Points in the unit ball, some of which point where no other does. */
function plantedPoints(random: Random): Float64Array[] {
  const { points, d, rare } = PLANTED;
  const unusual = new Set(random.distinct(rare, points));
  return Array.from({ length: points }, (_, j) => {
    const phi = random.normals(d).map((x, i) => (i === d - 1 ? 0 : x * 0.9 ** i));
    if (unusual.has(j)) phi.fill(0).fill(1, d - 1);
    const length = Math.sqrt(dot(phi, 0, phi, 0, d));
    const radius = unusual.has(j) ? 1 : random.uniform() ** (1 / d);
    return phi.map((x) => (x * radius) / length);
  });
}

/** Surprises of D, and the largest of what it leaves out. */
function checkKept(points: readonly Float64Array[], kept: ReadonlySet<number>, surprise: Surprise): Figure[] {
  const { d, lambda, tau } = PLANTED;
  const potential = d * Math.log1p(kept.size / (lambda * d));
  const left = points.filter((_, j) => !kept.has(j));
  return [
    atMost('points kept', kept.size, potential / Math.log1p(tau * tau)),
    atMost('largest surprise of a point left out, root', Math.sqrt(max(left.map((phi) => surprise.of(phi)))), tau),
  ];
}

export const surpriseBound: Method = {
  name: 'surprise',
  paper: '2302.11634',
  title: 'Provably efficient reinforcement learning via surprise bound',
  authors: 'Zhu, Wang, Lee (AISTATS 2023)',
  statement:
    'Few points, those that the ones before do not predict, predict all others; few refits are needed as they come.',
  criterion:
    'Points kept and refits are within the bounds (4), and nothing that is left out surprises by more than tau = 0.5.',
  place: {
    kind: 'measuring',
    what: 'its rule for refitting, by the log-determinant, as a function: for a basis or clusters that no longer fit what has been cached. The scan has no basis of its own yet, so nothing calls it.',
  },
  planted(seed) {
    const { d, lambda, tau } = PLANTED;
    const points = plantedPoints(createRandom(seed));
    const surprise = createSurprise(d, lambda);
    const rule = createRefitRule(d, lambda);
    const kept = new Set<number>();
    let refits = 0;
    for (const [j, phi] of points.entries()) {
      if (surprise.of(phi) < tau * tau) continue;
      surprise.take(phi);
      kept.add(j);
      if (rule.take(phi)) refits++;
    }
    return outcomeOf([
      ...checkKept(points, kept, surprise),
      atMost('refits', refits, d * Math.log2(1 + kept.size / (lambda * d))),
      fact('ln det Lambda', surprise.logDeterminant),
    ]);
  },
  failing: {
    what: 'as many random points',
    planted(seed) {
      const { d, lambda, tau, points: count } = PLANTED;
      const random = createRandom(seed);
      const points = plantedPoints(random);
      const chosen = createSurprise(d, lambda);
      let size = 0;
      for (const phi of points) {
        if (chosen.of(phi) < tau * tau) continue;
        chosen.take(phi);
        size++;
      }
      const kept = new Set(random.distinct(size, count));
      const surprise = createSurprise(d, lambda);
      for (const j of kept) surprise.take(points[j] as Float64Array);
      return outcomeOf(checkKept(points, kept, surprise));
    },
  },
};
