/**
 * How the scores of a block's rows follow from the scan, by the keys that were drawn: what is asked of the keys that were not,
 * about which the half-samples know nothing.
 */
import type { GroupWork, HeadSegment, ThreadRegion } from '../group/group-work.ts';
import { type ScannedKeys, scoreStride } from '../kernels/quantized-kernels.ts';
import { BLOCK_FIT_KEYS, BLOCK_UNDRAWN_SAMPLE_KEYS } from './constants.ts';
import { normalQuantile } from './normal.ts';

/** Some of the drawn keys, which stand for those that were not drawn, and how many times each of them does. */
export interface FittedKeys {
  keys: ScannedKeys;
  copies: number;
}

/**
 * Fits the scores of the rows to the proposals, by keys that were not drawn with certainty and lie in the primary region;
 * their positions and ln pi take the place of the list that was drawn. To be called before the outputs take the place of the
 * queries.
 */
export function fitRows({ segments, rows, n }: GroupWork, drawn: number, fractionBits: number): FittedKeys {
  const { region, pages, to } = segments[0] as HeadSegment;
  const { kernels, views, workspace } = region;
  const { indices, logProbabilities, queries, scores, scratch, scanFits, pooled } = workspace;
  const [count, stand] = listFittedKeys(region, drawn, to);
  const keys = { scans: pooled, fractionBits, indices, logProbabilities, count };
  const stride = scoreStride(count);
  kernels.scoreSelected(pages, indices, count, queries, rows, scores, stride, scratch);
  const peaks = kernels.fitScanRows(keys, scores, stride, rows, scanFits, scratch);
  // Of a model's heads, large noise is rarer than of normal one; the rows of a block tell together by how much.
  const factor = peaks < 0 ? 1 : Math.min(1, peaks / normalPeaks(count));
  const { f32 } = views();
  for (let row = 0; row < rows; row++) {
    const deviation = scanFits / 4 + 3 * row + 2;
    f32[deviation] = (f32[deviation] as number) * factor;
  }
  let others = 0;
  for (let i = 0; i < stand; i++) others += Math.expm1(-(f32[logProbabilities / 4 + i] as number));
  return { keys: { ...keys, count: stand }, copies: others > 0 ? (n - drawn) / others : 0 };
}

/**
 * Replaces the list of `drawn` keys by some of those that were not drawn with certainty, all before the position `to`:
 * first those that stand for the keys that were not drawn, then more. Returns how many they are, and how many are the first.
 */
function listFittedKeys({ views, workspace }: ThreadRegion, drawn: number, to: number): [count: number, stand: number] {
  const { indices, logProbabilities } = workspace;
  const { f32, i32 } = views();
  const [list, logs] = [i32.subarray(indices / 4), f32.subarray(logProbabilities / 4)];
  const uncertain = new Int32Array(drawn);
  let uncertainCount = 0;
  for (let j = 0; j < drawn && (list[j] as number) < to; j++) if (logs[j] !== 0) uncertain[uncertainCount++] = j;
  const count = Math.min(BLOCK_FIT_KEYS, uncertainCount);
  const stand = Math.min(BLOCK_UNDRAWN_SAMPLE_KEYS, count);
  // Every few of these come first: the others in their order.
  const first = new Set(Array.from({ length: stand }, (_, i) => Math.floor(((i + 0.5) * count) / stand)));
  const order = [...first, ...Array.from({ length: count }, (_, i) => i).filter((i) => !first.has(i))];
  const fitted = order.map((i) => uncertain[Math.floor(((i + 0.5) * uncertainCount) / count)] as number);
  list.set(fitted.map((j) => list[j] as number));
  logs.set(fitted.map((j) => logs[j] as number));
  return [count, stand];
}

/** The sum of the two largest of `count` standard normal numbers, by Blom's positions of order statistics. */
const normalPeaks = (count: number): number =>
  normalQuantile(0.625 / (count + 0.25)) + normalQuantile(1.625 / (count + 0.25));
