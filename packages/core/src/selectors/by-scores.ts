/** Choosing by scores, exact or estimated, that stand in the home region's workspace: what several selectors share. */
import { type HeadQuery, homeOf, positionsBuffer } from '../cache/head-query.ts';
import { keptKeys, selectAll, writeKept } from './selector.ts';

/** Chooses `count` keys: sinks, recent keys, and of those between the ones with the largest scores of row 0. */
export function selectByScores(query: HeadQuery, count: number): void {
  const { kernels, workspace } = homeOf(query);
  const positions = positionsBuffer(query);
  if (count >= query.n) {
    selectAll(positions, query.n);
    return;
  }
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
  return Math.min(limit, scores.length - leaveUnread(scores, tailMass, limit).dropped);
}

/**
 * The least score of a key between sinks and recent keys that must be read, so that at most `tailMass` is left; infinite
 * where none must.
 */
export function leastScore(scores: Float32Array, tailMass: number): number {
  const { middle, dropped } = leaveUnread(scores, tailMass, scores.length);
  return middle[dropped] ?? Number.POSITIVE_INFINITY;
}

/** The scores between sinks and recent keys, ascending, and how many of them come to at most `tailMass`. */
function leaveUnread(scores: Float32Array, tailMass: number, limit: number): { middle: Float32Array; dropped: number } {
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
  return { middle, dropped };
}
