/** The streaming SVM as learned retention: a linear score on keys, trained by one pass over what the window attends to. */

import { mean } from '../../numerics/statistics.ts';
import { compared, type Point, type Reading, type Study } from '../method.ts';
import { at, createRandom, descending, dot, norm, type Random } from '../numbers.ts';
import { createPegasos } from '../streaming-svm.ts';
import {
  type EvictionHead,
  errorsByHead,
  errorTable,
  evictionErrors,
  evictionHeads,
  evictionPoints,
  KEPT,
  keepMost,
  plainPoints,
  snapkvReference,
} from './eviction.ts';

/** Keys that a query of the window calls positive, and as many random ones negative. */
const EXAMPLES = 80;
const LAMBDA = 1e-4;

/** Key, norm and age, the last two of mean 0 and deviation 1, and a 1: (prompt, d + 3) */
function featuresOf({ keys, prompt, d }: EvictionHead): Float64Array {
  const width = d + 3;
  const features = new Float64Array(prompt * width);
  for (let j = 0; j < prompt; j++) {
    features.set(keys.subarray(j * d, (j + 1) * d), j * width);
    features[j * width + d] = norm(keys.subarray(j * d, (j + 1) * d));
    features[j * width + d + 1] = j / prompt;
    features[j * width + d + 2] = 1;
  }
  for (const i of [d, d + 1]) {
    const column = Float64Array.from({ length: prompt }, (_, j) => at(features, j * width + i));
    const middle = mean(column);
    const spread = Math.sqrt(mean(column.map((x) => (x - middle) ** 2))) || 1;
    for (let j = 0; j < prompt; j++) features[j * width + i] = (at(column, j) - middle) / spread;
  }
  return features;
}

/** w.x of every key of the prompt. */
function learnedWorth(head: EvictionHead, random: Random): Float64Array {
  const { d, prompt, keys, window } = head;
  const width = d + 3;
  const features = featuresOf(head);
  const rowOf = (j: number) => features.subarray(j * width, (j + 1) * width);
  const pegasos = createPegasos(width, LAMBDA);
  for (let from = 0; from < window.length; from += d) {
    const scores = Float64Array.from({ length: prompt }, (_, j) => dot(window, from, keys, j * d, d));
    for (const j of descending(scores).slice(0, EXAMPLES)) {
      pegasos.step(rowOf(j), 1);
      pegasos.step(rowOf(random.below(prompt)), -1);
    }
  }
  const weights = pegasos.weights();
  return Float64Array.from({ length: prompt }, (_, j) => dot(weights, 0, features, j * width, width));
}

/** The score of the mean query of the window. */
function meanQueryWorth({ d, prompt, keys, window }: EvictionHead): Float64Array {
  const query = new Float64Array(d);
  for (const [i, x] of window.entries()) query[i % d] = at(query, i % d) + x;
  return Float64Array.from({ length: prompt }, (_, j) => dot(query, 0, keys, j * d, d));
}

export function retentionReading(study: Study): Reading {
  const heads = evictionHeads(study);
  const random = createRandom(study.seed);
  const learned = new Map(heads.map((head) => [head, learnedWorth(head, random)]));
  const keepLearned = (head: EvictionHead, count: number) => keepMost(head, learned.get(head) ?? [], count);
  const points = evictionPoints(heads, 'streaming SVM', KEPT, keepLearned);
  const filter = evictionPoints(heads, 'mean query', KEPT, (head, count) =>
    keepMost(head, meanQueryWorth(head), count),
  );
  const reference = snapkvReference(study);
  const plain = plainPoints(study);
  const middle = points[1] as Point;
  return {
    axis: 'memory',
    points,
    reference,
    others: [...filter, ...plain],
    strip: {
      quantity: `error with the ${KEPT[1]} keys that it keeps`,
      heads: heads.flatMap((head) => errorsByHead(head, evictionErrors(head, keepLearned(head, KEPT[1])))),
    },
    verdict: `${compared(middle, 'memory', reference)}, and ${compared(middle, 'memory', { name: 'a mean query', points: filter }).split(': ')[1]}.`,
    findings: [],
    tables: [errorTable('Error by keys kept', [...points, ...filter, ...plain, ...reference.points])],
  };
}
