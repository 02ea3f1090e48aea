/**
 * Streaming complexity of SVMs (arXiv 2007.03633, Andoni, Burns, Li, Mahabadi, Woodruff; APPROX 2020): the objective
 *
 *   F(theta, b) = lambda / 2 |(theta, b)|^2 + mean over i of max(0, 1 - y_i (theta x_i + b))                           (1)
 *
 * of a stream of points. Point estimation, F at any (theta, b) asked later, to within eps: for d = 1 Theta(eps^-1/2)
 * numbers are enough and needed. The form here [derived] is a dyadic tree over [-1, 1] for each label: B cells of width
 * 2 / B; a node that holds n / B points passes later ones on to its halves; each keeps a count and a sum. The hinge is
 * straight on both sides of its kink, so that only nodes which hold the kink err,
 *
 *   |F~ - F| <= 4 |theta| / B^2,  with at most 4 B nodes                                                              (2)
 *
 * Optimisation in d dimensions, one pass: stochastic gradient descent, O(1 / (lambda eps)) points, O(d) numbers (Pegasos):
 *
 *   w <- (1 - 1/t) w + [y w.x < 1] y x / (lambda t),   the mean of w weighted by t                                    (3)
 */

import { fitLine, mean } from '../numerics/statistics.ts';
import { atLeast, atMost, type Figure, type Method, outcomeOf, short } from './method.ts';
import { addScaled, at, checkCount, checkPositive, createRandom, dot, invalid, type Random } from './numbers.ts';

export interface HingeSketch {
  add(x: number, label: -1 | 1): void;
  /** The mean hinge loss at (theta, b). */
  meanHinge(theta: number, b: number): number;
  readonly nodes: number;
}

/** A node covers [from, from + width). */
interface Node {
  from: number;
  width: number;
  count: number;
  sum: number;
  halves: [Node, Node] | null;
}

const nodeOf = (from: number, width: number): Node => ({ from, width, count: 0, sum: 0, halves: null });

/** The trees of (2), for a stream of `n` points in [-1, 1]. */
export function createHingeSketch(n: number, B: number): HingeSketch {
  checkCount(n, 'The number of points', 1);
  checkCount(B, 'The number B of cells', 1);
  const trees = new Map(
    [-1, 1].map((label) => [label, Array.from({ length: B }, (_, i) => nodeOf((2 * i) / B - 1, 2 / B))]),
  );
  let nodes = 0;
  let seen = 0;
  return {
    add(x, label) {
      if (!(x >= -1 && x <= 1)) throw invalid('A point is outside [-1, 1].', x, 'Scale the points.');
      let node = trees.get(label)?.[Math.min(B - 1, Math.floor(((x + 1) * B) / 2))] as Node;
      while (node.count >= n / B) {
        const half = node.width / 2;
        node.halves ??= [nodeOf(node.from, half), nodeOf(node.from + half, half)];
        node = node.halves[x < node.from + half ? 0 : 1];
      }
      if (node.count === 0) nodes++;
      node.count++;
      node.sum += x;
      seen++;
    },
    meanHinge(theta, b) {
      let total = 0;
      const visit = (node: Node, label: number) => {
        if (node.count > 0) total += node.count * Math.max(0, 1 - label * ((theta * node.sum) / node.count + b));
        for (const half of node.halves ?? []) visit(half, label);
      };
      for (const [label, cells] of trees) for (const cell of cells) visit(cell, label);
      return total / seen;
    },
    get nodes() {
      return nodes;
    },
  };
}

export interface Pegasos {
  /** Takes a point of the stream. */
  step(x: Float64Array, label: -1 | 1): void;
  /** The weighted mean of w: (d) */
  weights(): Float64Array;
}

/** (3). A last coordinate that is always 1 makes b a part of w. */
export function createPegasos(d: number, lambda: number): Pegasos {
  checkCount(d, 'The dimension', 1);
  checkPositive(lambda, 'lambda');
  const w = new Float64Array(d);
  const sum = new Float64Array(d);
  let t = 0;
  return {
    step(x, label) {
      t++;
      const outside = label * dot(w, 0, x, 0, d) < 1;
      for (let i = 0; i < d; i++) w[i] = (1 - 1 / t) * at(w, i) + (outside ? (label * at(x, i)) / (lambda * t) : 0);
      addScaled(sum, 0, t, w, 0, d);
    },
    weights: () => sum.map((x) => x / ((t * (t + 1)) / 2)),
  };
}

const PLANTED = {
  points: 20_000,
  cells: [8, 16, 32, 64, 128],
  slopes: [-5, -3, -1, -0.3, 0.3, 1, 3, 5],
  offsets: 60,
  d: 20,
  lambda: 0.01,
};

/** Points of two labels, in clusters and spread out. */
function plantedLine(random: Random): { x: number; label: -1 | 1 }[] {
  return Array.from({ length: PLANTED.points }, () => {
    const label = random.sign() as -1 | 1;
    const x = random.uniform() < 0.5 ? 0.3 * label + 0.1 * random.normal() : 2 * random.uniform() - 1;
    return { x: Math.max(-1, Math.min(1, x)), label };
  });
}

const hinge = (points: readonly { x: number; label: number }[], theta: number, b: number): number => {
  let total = 0;
  for (const { x, label } of points) total += Math.max(0, 1 - label * (theta * x + b));
  return total / points.length;
};

/** The largest error over the queries, in units of |theta|. */
function largestError(
  points: readonly { x: number; label: -1 | 1 }[],
  estimate: (theta: number, b: number) => number,
): number {
  const { slopes, offsets } = PLANTED;
  let most = 0;
  for (const theta of slopes) {
    for (let i = 0; i < offsets; i++) {
      const b = (2 * i) / (offsets - 1) - 1;
      most = Math.max(most, Math.abs(estimate(theta, b) - hinge(points, theta, b)) / Math.abs(theta));
    }
  }
  return most;
}

function sketchOf(points: readonly { x: number; label: -1 | 1 }[], B: number): HingeSketch {
  const sketch = createHingeSketch(points.length, B);
  for (const { x, label } of points) sketch.add(x, label);
  return sketch;
}

/** F less the least F found, after one pass over 1,000, 5,000 and 20,000 points. */
function pegasosGaps(random: Random): { t: number; gap: number }[] {
  const { points, d, lambda } = PLANTED;
  const direction = random.normals(d);
  const stream = Array.from({ length: points }, () => {
    const x = random.normals(d).map((value) => value / Math.sqrt(d));
    x[d - 1] = 1;
    const label = (dot(x, 0, direction, 0, d) + 0.3 * random.normal() > 0 ? 1 : -1) as -1 | 1;
    return { x, label };
  });
  const objective = (w: Float64Array) =>
    (lambda / 2) * dot(w, 0, w, 0, d) + mean(stream.map(({ x, label }) => Math.max(0, 1 - label * dot(w, 0, x, 0, d))));
  const passes = (count: number) => {
    const pegasos = createPegasos(d, lambda);
    for (let i = 0; i < count; i++) {
      const { x, label } = stream[i % points] as (typeof stream)[0];
      pegasos.step(x, label);
    }
    return objective(pegasos.weights());
  };
  const least = passes(30 * points);
  return [1000, 5000, points].map((t) => ({ t, gap: passes(t) - least }));
}

export const streamingSvm: Method = {
  name: 'streaming-svm',
  paper: '2007.03633',
  title: 'Streaming complexity of SVMs',
  authors: 'Andoni, Burns, Li, Mahabadi, Woodruff (APPROX 2020)',
  statement:
    'In one dimension eps^-1/2 numbers tell the SVM objective anywhere to within eps; one pass of gradient descent optimises it.',
  criterion:
    'The error is at most 4 |theta| / B^2 for B = 8 to 128 with at most 4 B nodes a label, its slope in B is between -2.5 and -1.7; ' +
    'Pegasos is within 1 / (lambda t) of the least objective from 1,000 points on.',
  place: {
    kind: 'none',
    what: 'none: a linear score on keys is a mean query, which the votes of the same window serve as well.',
  },
  planted(seed) {
    const { cells } = PLANTED;
    const random = createRandom(seed);
    const points = plantedLine(random);
    const figures: Figure[] = [];
    const errors: number[] = [];
    const rows = cells.map((B) => {
      const sketch = sketchOf(points, B);
      const error = largestError(points, sketch.meanHinge);
      errors.push(error);
      figures.push(
        atMost(`B = ${B}: largest error / |theta|`, error, 4 / B ** 2),
        atMost(`B = ${B}: nodes`, sketch.nodes, 8 * B),
      );
      return [String(B), String(sketch.nodes), short(error), short(4 / B ** 2)];
    });
    const falls = fitLine(cells.map(Math.log), errors.map(Math.log)).slope;
    figures.push(atLeast('slope of ln error in ln B', falls, -2.5), atMost('slope of ln error in ln B', falls, -1.7));
    for (const { t, gap } of pegasosGaps(random))
      figures.push(atMost(`Pegasos, t = ${t}: gap`, gap, 1 / (PLANTED.lambda * t)));
    const columns = ['B', 'nodes', 'largest error / |theta|', 'bound'];
    return outcomeOf(figures, [{ caption: `${PLANTED.points} points`, columns, rows }]);
  },
  failing: {
    what: 'as many random points as the tree has nodes',
    planted(seed) {
      const random = createRandom(seed);
      const points = plantedLine(random);
      const { nodes } = sketchOf(points, 64);
      const drawn = random.distinct(nodes, points.length).map((i) => points[i] as (typeof points)[0]);
      const error = largestError(points, (theta, b) => hinge(drawn, theta, b));
      return outcomeOf([atMost('B = 64: largest error / |theta|', error, 4 / 64 ** 2)]);
    },
  },
};
