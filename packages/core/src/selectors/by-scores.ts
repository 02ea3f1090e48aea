/** Selection by scores, exact or approximate, in the primary region's workspace: shared by several selectors. */
import { type GroupWork, primaryRegion, selectedPositions } from '../group/group-work.ts';
import { selectAllKeys, sinksAndRecent, writeSinksAndRecent } from './selector.ts';

/** Selects `count` keys: sinks, recent keys, and those with the largest scores of row 0 in between. */
export function selectByScores(work: GroupWork, count: number): void {
  const { kernels, workspace } = primaryRegion(work);
  const positions = selectedPositions(work);
  if (count >= work.n) {
    selectAllKeys(positions, work.n);
    return;
  }
  const { sinks, recent } = sinksAndRecent(count);
  const scoredKeys = count - sinks - recent;
  writeSinksAndRecent(positions, work.n, sinks, recent, scoredKeys);
  if (scoredKeys === 0) return;
  const middle = work.n - sinks - recent;
  const { scores, indices, scratch } = workspace;
  kernels.selectLargest(scores + sinks * 4, middle, scoredKeys, sinks, indices + sinks * 4, scratch);
}

/**
 * The fewest keys that leave at most `tailMass` of the softmax unread, at most `limit`. Sinks and recent keys are counted
 * as those of a selection of `limit` keys; a smaller selection keeps fewer of them, and has keys of larger scores instead.
 */
export function keysForMass(scores: Float32Array, tailMass: number, limit: number): number {
  return Math.min(limit, scores.length - splitByMass(scores, tailMass, limit).dropped);
}

/**
 * The smallest score, among the keys between sinks and recent ones, of a key that must be read to leave at most
 * `tailMass`; infinite where none must.
 */
export function minReadScore(scores: Float32Array, tailMass: number): number {
  const { middle, dropped } = splitByMass(scores, tailMass, scores.length);
  return middle[dropped] ?? Number.POSITIVE_INFINITY;
}

/** The scores between sinks and recent keys, ascending, and how many of the first have a mass of at most `tailMass`. */
function splitByMass(scores: Float32Array, tailMass: number, limit: number): { middle: Float32Array; dropped: number } {
  const n = scores.length;
  const max = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const included = sinksAndRecent(limit);
  const weight = (score: number) => Math.exp(score - max);
  // Sinks and recent keys are selected whatever their scores, the others by score.
  const middle = scores.slice(included.sinks, n - included.recent).sort();
  const allowedMass = tailMass * scores.reduce((sum, score) => sum + weight(score), 0);
  let unreadMass = 0;
  let dropped = 0;
  for (const score of middle) {
    unreadMass += weight(score);
    if (unreadMass > allowedMass) break;
    dropped++;
  }
  return { middle, dropped };
}
