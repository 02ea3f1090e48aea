/** Attention to the keys that an eviction keeps, and to what remains of the others. */
import { certify, roundingOfMass } from '../certificates/certificate.ts';
import type { Eviction } from '../evictions/eviction.ts';
import {
  countSinks,
  exactRowBytes,
  foldSegments,
  type GroupWork,
  listPartIn,
  logSumExp,
  normalizedOutputs,
  primaryRegion,
  type RunningLogSumExp,
  readStateSums,
  selectedPositions,
  type ThreadRegion,
} from '../group/group-work.ts';
import { addWeightedMeans } from '../group/weighted-mean.ts';
import { scoreStride } from '../kernels/quantized-kernels.ts';
import { estimateRemains, type Remains, type RemainsEstimate } from '../remains/remains.ts';
import { addRow } from './job-report.ts';
import type { AttentionReport } from './report.ts';

/** What the rows of a query read: their keys in order, and what remains of others where there are any. */
export interface KeptWork {
  work: GroupWork;
  positions: readonly number[];
  remains: Remains | undefined;
}

/** Attends with the rows of a query to the keys that are kept, and adds the shares that they have to `received`. */
export function attendKept(
  kept: KeptWork,
  { readsScores }: Eviction,
  outputs: Float32Array,
  received: Float64Array,
  report: AttentionReport,
): void {
  const { work, positions, remains } = kept;
  const { n, rows, shape } = work;
  const count = positions.length;
  const { region, scores, exactSums, estimates } = attendWithRemains(kept);
  outputs.set(normalizedOutputs(region, rows, shape.headDim));
  for (const [row, total] of readStateSums(region, rows).entries()) {
    addAttentionWeights(scores[row] as Float32Array, logSumExp(total), received);
    const estimate = estimates[row];
    const selectedSum = exactSums[row] as RunningLogSumExp;
    const output = outputs.subarray(row * shape.headDim, (row + 1) * shape.headDim);
    const rowBytes = exactRowBytes(work, count) + (readsScores ? 4 * count : 0) + (remains?.bytes ?? 0);
    const certificate =
      estimate === undefined
        ? certify(work, row, { count, selectedSum, output })
        : ({ kind: 'estimated', tailMass: shareOf(estimate.logSum, selectedSum), outputError: Infinity } as const);
    if (estimate !== undefined) addGoneAtLeast(report, work, row, count, { estimate, selectedSum });
    addRow(report, n, {
      ...certificate,
      keysExact: count,
      keysQuantized: 0,
      bytesRead: row === 0 ? rowBytes : 0,
      outcome: count === n ? 'full' : 'asSelected',
    });
  }
}

/** Adds the attention that the rows of a query pay to the keys at `positions`, beside what remains, to `received`. */
export function addReceived(kept: KeptWork, received: Float64Array): void {
  const { region, scores } = attendWithRemains(kept);
  for (const [row, total] of readStateSums(region, kept.work.rows).entries()) {
    addAttentionWeights(scores[row] as Float32Array, logSumExp(total), received);
  }
}

/** By index: it runs over all keys of every query of a prompt. */
export function addAttentionWeights(scores: Float32Array, logSum: number, received: Float64Array): void {
  for (let j = 0; j < scores.length; j++) {
    received[j] = (received[j] as number) + Math.exp((scores[j] as number) - logSum);
  }
}

/** The state of all rows, with remains and sinks, and by row the scores, their sums alone, and what remains. */
function attendWithRemains({ work, positions, remains }: KeptWork) {
  const { rows, shape } = work;
  const { headDim } = shape;
  selectedPositions(work).set(positions);
  const { region, scores } = attendAndKeepScores(work, positions.length);
  const exactSums = readStateSums(region, rows);
  const estimates: RemainsEstimate[] = [];
  if (remains !== undefined && remains.keys > 0) {
    const { views, workspace } = primaryRegion(work);
    const queries = workspace.queries / 4;
    for (let row = 0; row < rows; row++) {
      const query = views().f32.slice(queries + row * headDim, queries + (row + 1) * headDim);
      const estimate = estimateRemains(remains, query);
      addWeightedMeans(region, { rows, row, headDim }, [estimate]);
      estimates.push(estimate);
    }
  }
  return { region, scores, exactSums, estimates };
}

/** The share that some keys have in a softmax beside those that were attended exactly. */
const shareOf = (logSum: number, exactSum: RunningLogSumExp): number =>
  1 / (1 + Math.exp(logSumExp(exactSum) - logSum));

function addGoneAtLeast(
  { goneAtLeast }: AttentionReport,
  work: GroupWork,
  row: number,
  count: number,
  { estimate, selectedSum }: { estimate: RemainsEstimate; selectedSum: RunningLogSumExp },
): void {
  const share = shareOf(estimate.logSumAtLeast, selectedSum) - roundingOfMass(work, row, count);
  const bound = Math.max(0, share);
  goneAtLeast.sum += bound;
  goneAtLeast.max = Math.max(goneAtLeast.max, bound);
}

/** Attends to the first `count` positions of the positions buffer; the scores of each row are kept. */
function attendAndKeepScores(work: GroupWork, count: number): { region: ThreadRegion; scores: Float32Array[] } {
  const { rows, shape, segments } = work;
  const scores = Array.from({ length: rows }, () => new Float32Array(count));
  const region = foldSegments(segments, rows, shape.headDim, (segment) => {
    const { start, end, indices } = listPartIn(work, segment, (workspace) => workspace.indices, 0, count);
    const partCount = end - start;
    if (partCount === 0) return;
    const { region, pages } = segment;
    const { kernels, workspace, views } = region;
    const stride = scoreStride(partCount);
    kernels.scoreSelected(
      pages,
      indices,
      partCount,
      workspace.queries,
      rows,
      workspace.scores,
      stride,
      workspace.scratch,
    );
    for (const [row, rowScores] of scores.entries()) {
      const at = workspace.scores / 4 + row * stride;
      rowScores.set(views().f32.subarray(at, at + partCount), start);
    }
    kernels.addValues(pages, indices, partCount, workspace.scores, stride, rows, workspace.state, workspace.scratch);
  });
  return { region: countSinks(work, region), scores };
}
