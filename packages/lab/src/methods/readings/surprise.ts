/** The surprise bound as an eviction: keys are kept that the kept ones do not predict, in one pass. */
import { compared, errorAt, type Point, type Reading, type Study, short } from '../method.ts';
import { centred, dot } from '../numbers.ts';
import { createSurprise } from '../surprise.ts';
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

/** Halvings of the range of tau, until the number of kept keys fits. */
const BISECTION_STEPS = 10;

/** Keys that enter D with a threshold: lambda is the mean square of a coordinate. */
function surprising(keys: Float64Array, d: number, tauSquared: number): number[] {
  const lambda = dot(keys, 0, keys, 0, keys.length) / keys.length;
  const surprise = createSurprise(d, lambda);
  const kept: number[] = [];
  for (let j = 0; j < keys.length / d; j++) {
    const phi = keys.subarray(j * d, (j + 1) * d);
    if (surprise.of(phi) < tauSquared) continue;
    surprise.take(phi);
    kept.push(j);
  }
  return kept;
}

/** The first keys, the window, and keys that surprise, with tau set so that `count` are kept. */
function keepSurprising(head: EvictionHead, count: number): Uint32Array {
  const { d, prompt } = head;
  const keys = centred(head.keys.slice(0, prompt * d), d);
  let [low, high] = [0, d];
  let kept: number[] = [];
  for (let i = 0; i < BISECTION_STEPS; i++) {
    const middle = (low + high) / 2;
    const candidates = surprising(keys, d, middle);
    if (candidates.length > count) low = middle;
    else {
      high = middle;
      kept = candidates;
    }
  }
  const worth = new Float64Array(prompt);
  for (const j of kept) worth[j] = 1;
  return keepMost(head, worth, count);
}

export function surpriseReading(study: Study): Reading {
  const heads = evictionHeads(study);
  const points = evictionPoints(heads, 'surprise', KEPT, keepSurprising);
  const reference = snapkvReference(study);
  const plain = plainPoints(study);
  const middle = points[1] as Point;
  const random = errorAt(
    plain.filter(({ name }) => name === 'random'),
    middle.cost,
  );
  return {
    axis: 'memory',
    points,
    reference,
    others: plain,
    strip: {
      quantity: `error with the ${KEPT[1]} keys that surprise`,
      heads: heads.flatMap((head) => errorsByHead(head, evictionErrors(head, keepSurprising(head, KEPT[1])))),
    },
    verdict: `${compared(middle, 'memory', reference)}; ${short(middle.error / random)} times that of keys drawn at random.`,
    findings: [],
    tables: [errorTable('Error by keys kept', [...points, ...plain, ...reference.points])],
  };
}
