/** Which keys a certified step has read: those whose bounds, which are still in the workspace, are above its threshold. */
import { type GroupWork, primaryRegion, rowScores } from '../src/group/group-work.ts';
import { BOUNDED_ROW_NUMBERS } from '../src/kernels/constants.ts';

export function certifiedPositions(work: GroupWork, row = 0): Int32Array {
  const { views, workspace } = primaryRegion(work);
  const threshold = views().f32[workspace.boundNumbers / 4 + row * BOUNDED_ROW_NUMBERS + 1] as number;
  const bounds = rowScores(work, row);
  return Int32Array.from(bounds.keys()).filter((position) => (bounds[position] as number) >= threshold);
}
