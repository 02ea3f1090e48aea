/** LevAttention as an eviction: the keys of the largest leverage are kept, and what else a score without a query could be. */

import { mean } from '../../numerics/statistics.ts';
import { leverages } from '../lev-attention.ts';
import { compared, errorAt, type Point, type Reading, type Study, short } from '../method.ts';
import { at, centred, dot, norm } from '../numbers.ts';
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

/** The base of RoPE with which a head's keys were turned, by the number of keys: the captures' models stretch it at 32K. */
const ropeBase = (keys: number): number => (keys > 16_384 ? 420_000 : 100_000);

const promptKeys = ({ keys, prompt, d }: EvictionHead): Float64Array => keys.slice(0, prompt * d);

/** Keys (prompt, d) before RoPE: dimensions i and i + d / 2 turned back by position x base^(-2 i / d). */
function beforeRope(head: EvictionHead): Float64Array {
  const { d, prompt } = head;
  const keys = promptKeys(head);
  for (let j = 0; j < prompt; j++) {
    for (let i = 0; i < d / 2; i++) {
      const angle = j * ropeBase(prompt) ** ((-2 * i) / d);
      const [x, y] = [at(keys, j * d + i), at(keys, j * d + i + d / 2)];
      keys[j * d + i] = x * Math.cos(angle) + y * Math.sin(angle);
      keys[j * d + i + d / 2] = y * Math.cos(angle) - x * Math.sin(angle);
    }
  }
  return keys;
}

/** KeyDiff: keys that differ most, in direction, from the mean direction. */
function keyDifferences(head: EvictionHead): Float64Array {
  const { d, prompt } = head;
  const keys = promptKeys(head);
  const directions = keys.map((x, i) => x / norm(keys.subarray(i - (i % d), i - (i % d) + d)));
  const anchor = new Float64Array(d);
  for (const [i, x] of directions.entries()) anchor[i % d] = at(anchor, i % d) + x;
  return Float64Array.from({ length: prompt }, (_, j) => -dot(directions, j * d, anchor, 0, d));
}

const WORTHS: Readonly<Record<string, (head: EvictionHead) => Float64Array>> = {
  'leverage, as cached': (head) => leverages(promptKeys(head), head.d),
  'leverage, centred': (head) => leverages(centred(promptKeys(head), head.d), head.d),
  'leverage before RoPE, centred': (head) => leverages(centred(beforeRope(head), head.d), head.d),
  'key norm, small first': (head) => {
    const keys = promptKeys(head);
    return Float64Array.from({ length: head.prompt }, (_, j) => -dot(keys, j * head.d, keys, j * head.d, head.d));
  },
  KeyDiff: keyDifferences,
  'votes, not pooled': (head) => head.votes,
};

/** Leverage from which a key may have an entry of that share in attention of squares. */
const SHARE = 0.01;

export function leverageReading(study: Study): Reading {
  const heads = evictionHeads(study);
  const points = Object.entries(WORTHS).flatMap(([name, worthOf]) => {
    const worth = new Map(heads.map((head) => [head, worthOf(head)]));
    return evictionPoints(heads, name, KEPT, (head, count) => keepMost(head, worth.get(head) ?? [], count));
  });
  const leveragePoints = points.filter(({ name }) => name.startsWith('leverage'));
  const plain = plainPoints(study);
  const reference = snapkvReference(study);
  const counts = heads.map((head) => leverages(promptKeys(head), head.d).filter((tau) => tau >= SHARE).length);
  const middle = leveragePoints.find(({ name, cost }) => name === 'leverage, as cached' && cost === KEPT[1]) as Point;
  const random = errorAt(
    plain.filter(({ name }) => name === 'random'),
    middle.cost,
  );
  const strip = heads.flatMap((head) => {
    const kept = keepMost(head, leverages(promptKeys(head), head.d), KEPT[1]);
    return errorsByHead(head, evictionErrors(head, kept));
  });
  return {
    axis: 'memory',
    points: leveragePoints,
    reference,
    others: [...plain, ...points.filter(({ name }) => !name.startsWith('leverage'))],
    strip: { quantity: `error with the ${KEPT[1]} keys of the largest leverage`, heads: strip },
    verdict: `${compared(middle, 'memory', reference)}; ${short(middle.error / random)} times that of keys drawn at random.`,
    findings: [
      `${Math.min(...counts)} to ${Math.max(...counts)} keys a head (mean ${short(mean(counts))}) have a leverage of ${SHARE} or more.`,
    ],
    tables: [
      errorTable('Error by keys kept', [
        ...points,
        ...plain,
        ...reference.points.filter(({ cost }) => KEPT.includes(cost as 256)),
      ]),
    ],
  };
}
