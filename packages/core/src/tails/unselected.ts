/** The keys that were not chosen, as the tails that read them by their codes go about them. */

import {
  attendList,
  type GroupWork,
  type HeadSegment,
  primaryRegion,
  selectedPositions,
  type ThreadRegion,
} from '../group/group-work.ts';
import { firstUnquantizedKey } from '../group/quantized-work.ts';

/**
 * The keys that are not among the first `count` positions: those with codes, as they are put into the coded list, and
 * those of the open page.
 */
export function listUnselected(work: GroupWork, count: number): { quantized: Int32Array; unquantized: number[] } {
  const { n } = work;
  const { views, workspace } = primaryRegion(work);
  const selected = selectedPositions(work).subarray(0, count);
  const list = views().i32.subarray(workspace.quantizedIndices / 4, workspace.quantizedIndices / 4 + n);
  const unquantized: number[] = [];
  let [quantized, next] = [0, 0];
  for (let j = 0; j < n; j++) {
    if (selected[next] === j) next++;
    else if (j < firstUnquantizedKey(n)) list[quantized++] = j;
    else unquantized.push(j);
  }
  return { quantized: list.subarray(0, quantized), unquantized };
}

/** Adds keys of the open page, which has no codes, to the state in its region. */
export function attendUnquantized(
  { segments, rows }: GroupWork,
  positions: readonly number[],
  region: ThreadRegion,
): void {
  const { pooled, state } = region.workspace;
  region.views().i32.set(positions, pooled / 4);
  attendList(segments.at(-1) as HeadSegment, pooled, positions.length, rows, state);
}
