/** The keys that were not chosen, as the tails that read them by their codes go about them. */
import { openFrom } from '../cache/code-query.ts';
import {
  attendList,
  type HeadQuery,
  type HeadSegment,
  homeOf,
  positionsBuffer,
  type ThreadRegion,
} from '../cache/head-query.ts';

/**
 * The keys that are not among the first `count` positions: those with codes, as they are put into the coded list, and
 * those of the open page.
 */
export function listUnread(query: HeadQuery, count: number): { coded: Int32Array; open: number[] } {
  const { n } = query;
  const { views, workspace } = homeOf(query);
  const chosen = positionsBuffer(query).subarray(0, count);
  const list = views().i32.subarray(workspace.codedIndices / 4, workspace.codedIndices / 4 + n);
  const open: number[] = [];
  let [coded, next] = [0, 0];
  for (let j = 0; j < n; j++) {
    if (chosen[next] === j) next++;
    else if (j < openFrom(n)) list[coded++] = j;
    else open.push(j);
  }
  return { coded: list.subarray(0, coded), open };
}

/** Adds keys of the open page, which has no codes, to the state in its region. */
export function attendOpen({ segments, rows }: HeadQuery, positions: readonly number[], region: ThreadRegion): void {
  const { pooled, state } = region.workspace;
  region.views().i32.set(positions, pooled / 4);
  attendList(segments.at(-1) as HeadSegment, pooled, positions.length, rows, state);
}
