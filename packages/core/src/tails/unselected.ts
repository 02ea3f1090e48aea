/** The unselected keys, for tails that read them quantized. */

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
 * Positions of the keys that are not among the first `count` selected ones: those of full pages, which are quantized and
 * put into the workspace's list of quantized keys, and those of the open page.
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

/** Adds keys of the open page, which is not quantized yet, to the state in its region. */
export function attendUnquantized(
  { segments, rows }: GroupWork,
  positions: readonly number[],
  region: ThreadRegion,
): void {
  const { pooled, state } = region.workspace;
  region.views().i32.set(positions, pooled / 4);
  attendList(segments.at(-1) as HeadSegment, pooled, positions.length, rows, state);
}
