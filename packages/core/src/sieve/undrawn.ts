/** What the keys that a step did not draw may weigh. */
import type { ThreadRegion } from '../group/group-work.ts';
import type { ScannedKeys } from '../kernels/quantized-kernels.ts';

/**
 * The expected sum of the squared shares, of a sum of e^logTotal, of the keys that were not drawn, for one row whose fit is at
 * `fit`.
 */
export function undrawnSquaresOf(
  { kernels, views, workspace }: ThreadRegion,
  keys: ScannedKeys,
  fit: number,
  logTotal: number,
): number {
  const { softmaxStatistics, scratch } = workspace;
  views().f32[softmaxStatistics / 4] = logTotal;
  kernels.undrawnSquares(keys, 1, fit, 1, softmaxStatistics, softmaxStatistics, scratch);
  return views().f32[softmaxStatistics / 4] as number;
}
