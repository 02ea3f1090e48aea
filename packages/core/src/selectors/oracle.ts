/**
 * The oracle: scores every key exactly and takes the largest. No selector of as many keys leaves less mass unread, so
 * the others are measured against it; it reads all keys itself.
 */
import { type HeadQuery, homeOf, positionsBuffer, scoreAll, scoresOf, sumOfScores } from '../cache/head-query.ts';
import { rowBytes } from '../kernels/layout.ts';
import { keptKeys, type Selector, selectAll, writeKept } from './selector.ts';

export default function createOracle(): Selector {
  return {
    name: 'oracle',
    planes: [],
    unit: 'head',
    certain: true,
    select(query, budget) {
      const { n, layer, head, shape } = query;
      scoreAll(query);
      const scores = scoresOf(query);
      const total = sumOfScores(query);
      const bytesScanned = n * rowBytes(shape.headDim, shape.precision);
      const limit = budget.keys({ n, layer, head });
      const count = budget.tailMass === undefined ? limit : keysForMass(scores, budget.tailMass, limit);
      const positions = positionsBuffer(query);
      if (count >= n) selectAll(positions, n);
      else selectLargest(query, positions, count);
      return { count: Math.min(count, n), total, bytesScanned };
    },
  };
}

/** Sinks, recent keys, and the largest of those between. */
function selectLargest(query: HeadQuery, positions: Int32Array, count: number): void {
  const { kernels, workspace } = homeOf(query);
  const { sinks, recent } = keptKeys(count);
  const between = count - sinks - recent;
  writeKept(positions, query.n, sinks, recent, between);
  if (between === 0) return;
  const middle = query.n - sinks - recent;
  const { scores, indices, scratch } = workspace;
  kernels.selectLargest(scores + sinks * 4, middle, between, sinks, indices + sinks * 4, scratch);
}

/**
 * The fewest keys that leave at most `tailMass` of the softmax unread, at most `limit`; counted with as many sinks and
 * recent keys as `limit` keys have. Should it come to so few that fewer of these are kept, keys of larger scores take
 * their place, and less is left unread.
 */
export function keysForMass(scores: Float32Array, tailMass: number, limit: number): number {
  const n = scores.length;
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const kept = keptKeys(limit);
  const weight = (score: number) => Math.exp(score - largest);
  // The kept keys come first whatever their scores, the others by score.
  const middle = scores.slice(kept.sinks, n - kept.recent).sort();
  const allowed = tailMass * scores.reduce((sum, score) => sum + weight(score), 0);
  let unread = 0;
  let dropped = 0;
  for (const score of middle) {
    unread += weight(score);
    if (unread > allowed) break;
    dropped++;
  }
  return Math.min(limit, n - dropped);
}
