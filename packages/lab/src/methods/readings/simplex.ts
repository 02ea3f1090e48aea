/** A hull of the evicted keys as a certificate of what eviction lost, beside balls, norms, Jensen's bound and clusters. */

import { mean, median } from '../../numerics/statistics.ts';
import { latentSimplex } from '../latent-simplex.ts';
import { type HeadFigure, type Reading, type Study, short } from '../method.ts';
import { addScaled, at, createRandom, dot, logSumExp, max, meanRow, norm } from '../numbers.ts';
import { merged, remainsOfClusters, singles } from './clusters.ts';
import { type EvictionHead, evictionHeads, keepSnapkv, type TestedRow } from './eviction.ts';
import { energies, evicted } from './remains.ts';

const KEPT = 512;
const VERTICES = 64;
/** Points a vertex. */
const POINTS = 10;
const PAGE = 64;
/** Steps of the fit of a key by the vertices. */
const STEPS = 20;

/** Bounds and estimates, in nats, of the log mass of evicted keys for one row. */
const BOUNDS = ['norms', 'balls round page means', 'hull', "Jensen's lower bound", 'clusters with moments'] as const;
type Bound = (typeof BOUNDS)[number];

/** x (k) on the simplex, nearest to it (Held, Wolfe, Crowder 1974: sort, and find the threshold). */
function ontoSimplex(x: Float64Array): Float64Array {
  const sorted = Float64Array.from(x).sort().reverse();
  let [sum, threshold] = [0, 0];
  for (const [i, value] of sorted.entries()) {
    sum += value;
    const candidate = (sum - 1) / (i + 1);
    if (value > candidate) threshold = candidate;
  }
  return x.map((value) => Math.max(0, value - threshold));
}

interface Hull {
  /** (k, d), and the centre (d) that was taken off. */
  vertices: Float64Array;
  centre: Float64Array;
  /** h_j: (n, k), and |e_j|: (n) */
  weights: Float64Array;
  residuals: Float64Array;
  /** Mean |e_j| / |k_j - centre|. */
  rest: number;
}

/** Fits every key by the vertices: projected gradient with momentum on |k - sum h_i m_i|^2. */
function hullOf(keys: Float64Array, d: number, seed: number): Hull {
  const n = keys.length / d;
  const k = Math.min(VERTICES, n);
  const centre = meanRow(keys, d);
  const points = keys.map((x, i) => x - at(centre, i % d));
  const vertices = latentSimplex(points, d, { k, p: Math.min(POINTS, n), random: createRandom(seed) });
  // M M^T (k, k); a step of 1 over its trace is always small enough, over its largest row sum nearly always the largest.
  const gram = Float64Array.from({ length: k * k }, (_, i) =>
    dot(vertices, Math.floor(i / k) * d, vertices, (i % k) * d, d),
  );
  const rowSums = Array.from({ length: k }, (_, i) =>
    gram.slice(i * k, (i + 1) * k).reduce((sum, x) => sum + Math.abs(x), 0),
  );
  const step = 1 / Math.max(...rowSums);
  const weights = new Float64Array(n * k);
  const residuals = new Float64Array(n);
  let rest = 0;
  for (let j = 0; j < n; j++) {
    const products = Float64Array.from({ length: k }, (_, i) => dot(vertices, i * d, points, j * d, d));
    let h: Float64Array = new Float64Array(k).fill(1 / k);
    let ahead = h;
    for (let s = 0; s < STEPS; s++) {
      const moved = ontoSimplex(ahead.map((x, i) => x - step * (dot(gram, i * k, ahead, 0, k) - at(products, i))));
      const momentum = s / (s + 3);
      ahead = moved.map((x, i) => x + momentum * (x - at(h, i)));
      h = moved;
    }
    weights.set(h, j * k);
    const left = points.slice(j * d, (j + 1) * d);
    const whole = norm(left);
    for (let i = 0; i < k; i++) addScaled(left, 0, -at(h, i), vertices, i * d, d);
    residuals[j] = norm(left);
    rest += at(residuals, j) / whole / n;
  }
  return { vertices, centre, weights, residuals, rest };
}

/** ln of (1) of `latent-simplex.ts`. */
function hullBound({ vertices, centre, weights, residuals }: Hull, { query }: TestedRow): number {
  const d = query.length;
  const k = vertices.length / d;
  const length = norm(query);
  const masses = new Float64Array(k);
  // The largest exponent comes first, so that nothing overflows.
  const shift = length * max(residuals);
  for (let j = 0; j < residuals.length; j++) {
    addScaled(masses, 0, Math.exp(length * at(residuals, j) - shift), weights, j * k, k);
  }
  const terms = masses.map((mass, i) => Math.log(mass) + dot(query, 0, vertices, i * d, d));
  return shift + dot(query, 0, centre, 0, d) + logSumExp(terms);
}

function studyHead(head: EvictionHead, seed: number) {
  const { d } = head;
  const kept = keepSnapkv(head, Math.min(KEPT, head.prompt >> 1));
  const gone = evicted(head, kept);
  const n = gone.keys.length / d;
  const hull = hullOf(gone.keys, d, seed);
  const lengths = Float64Array.from({ length: n }, (_, j) => norm(gone.keys.subarray(j * d, (j + 1) * d)));
  const balls = Array.from({ length: Math.ceil(n / PAGE) }, (_, page) => {
    const rows = gone.keys.subarray(page * PAGE * d, (page + 1) * PAGE * d);
    const centre = meanRow(rows, d);
    const distances = Array.from({ length: rows.length / d }, (_, j) =>
      norm(rows.slice(j * d, (j + 1) * d).map((x, i) => x - at(centre, i))),
    );
    return { centre, count: distances.length, radius: Math.max(...distances) };
  });
  const options = { count: VERTICES, rounds: 6, metric: energies(head), random: createRandom(seed) };
  const clusters = merged(singles(gone.keys, gone.values, d), options);
  const [jensen, moments] = [remainsOfClusters(clusters, 0), remainsOfClusters(clusters, 2)];
  const rows = head.rows.map((row) => {
    const { query, largest } = row;
    const length = norm(query);
    const keptMass = logSumExp([...Array.from(kept, (j) => at(row.scores, j)), ...row.scores.slice(head.prompt)]);
    const scores = Float64Array.from({ length: n }, (_, j) => dot(query, 0, gone.keys, j * d, d));
    const bounds: Record<Bound, number> = {
      norms: Math.log(n) + length * max(lengths),
      'balls round page means': logSumExp(
        balls.map(({ centre, count, radius }) => Math.log(count) + dot(query, 0, centre, 0, d) + length * radius),
      ),
      hull: hullBound(hull, row),
      "Jensen's lower bound": largest + Math.log(jensen(row).denominator),
      'clusters with moments': largest + Math.log(moments(row).denominator),
    };
    return { query: row.head, keptMass, actual: logSumExp(scores), bounds };
  });
  return { head, rows, rest: hull.rest };
}

/** The share of the softmax that a log mass of evicted keys is. */
const shareOf = (evictedMass: number, keptMass: number): number => 1 / (1 + Math.exp(keptMass - evictedMass));

export function simplexReading(study: Study): Reading {
  const studied = evictionHeads(study).map((head) => studyHead(head, study.seed));
  const rows = studied.flatMap((study) => study.rows);
  const slack = (bound: Bound) => rows.map(({ bounds, actual }) => bounds[bound] - actual);
  const violations = {
    upper: Math.max(
      ...(['norms', 'balls round page means', 'hull'] as const).map(
        (bound) => slack(bound).filter((x) => x < -1e-9).length,
      ),
    ),
    lower: slack("Jensen's lower bound").filter((x) => x > 1e-9).length,
  };
  const meanShares = (bound: Bound | null) => {
    return mean(rows.map(({ bounds, actual, keptMass }) => shareOf(bound === null ? actual : bounds[bound], keptMass)));
  };
  const actual = meanShares(null);
  const estimateErrors = rows.map(({ bounds, actual: mass, keptMass }) =>
    Math.abs(shareOf(bounds['clusters with moments'], keptMass) - shareOf(mass, keptMass)),
  );
  const shares = studied.flatMap(({ head, rows: study }) =>
    Array.from({ length: head.group }, (_, query) => {
      const mine = study.filter((row) => row.query === query);
      const share = (bound: Bound | null) =>
        mean(mine.map((row) => shareOf(bound === null ? row.actual : row.bounds[bound], row.keptMass)));
      return BOUNDS.map((name) => ({ name, certified: share(name), actual: share(null) }));
    }).flat(),
  );
  const strip: HeadFigure[] = studied.flatMap(({ head }) =>
    Array.from({ length: head.group }, (_, query) => ({ head: `${head.name} head ${query}`, value: 0 })),
  );
  for (const [i, dot] of strip.entries())
    dot.value = shares[i * BOUNDS.length + BOUNDS.indexOf('hull')]?.certified ?? 0;
  return {
    points: [],
    reference: null,
    others: [],
    shares,
    strip: { quantity: 'share of the softmax that the hull certifies as gone at most', heads: strip },
    verdict:
      `The hull certifies that at most ${short(meanShares('hull'))} of the softmax is gone where ${short(actual)} is; ` +
      `its slack is ${short(mean(slack('hull')))} nats.`,
    findings: [
      `${violations.upper} upper and ${violations.lower} lower bounds of ${rows.length} are violated.`,
      `Jensen's bound by ${VERTICES} cluster means is ${short(-median(slack("Jensen's lower bound")))} nats low in the median; ` +
        `clusters with moments tell the share to ${short(mean(estimateErrors))}.`,
      `Keys are ${short(100 * mean(studied.map(({ rest }) => rest)))} % outside the hull of ${VERTICES} vertices.`,
    ],
    tables: [
      {
        caption: `Log mass of evicted keys, SnapKV with ${KEPT} keys`,
        columns: ['', 'above the truth, nats', 'share of the softmax'],
        rows: [
          ...BOUNDS.map((bound) => [bound, short(mean(slack(bound))), short(meanShares(bound))]),
          ['truth', '0', short(actual)],
        ],
      },
    ],
  };
}
