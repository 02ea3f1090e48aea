/**
 * A position of a GQA group, certified: the rows read exactly as many keys as it takes so that what stays unread has at
 * most a given share of the softmax, whatever the keys are.
 *
 *   u_j >= s_j, upper bounds on all scores by int8 keys                 (66 bytes a key, all rows together)
 *   t = the least threshold that leaves sum of e^u below t at most share / (1 - share) times the sum of e^s read
 *   attend exactly to the keys with u_j >= t
 *
 * The sum over what is read is not known before it is read. So the first threshold is one that is certainly not too low,
 * by bounds for what is read as well; the second, by the sum that was read, then settles it: reading more only makes that
 * sum larger. With U the sum of e^u over the unread keys and L that of e^s over the read ones, the unread mass is at most
 * U / (L + U), since x / (a + x) grows with x and falls with a.
 */
import {
  countSinks,
  foldSegments,
  type GroupWork,
  listPartIn,
  logSumExp,
  primaryRegion,
  type RunningLogSumExp,
  readStateSums,
  type ThreadRegion,
} from '../group/group-work.ts';
import { sampleOfPages } from '../group/parts.ts';
import { boundScanBytes, boundScoresAbove, maxScoreRoundingError } from '../group/quantized-work.ts';
import type { Workspace } from '../group/workspace.ts';
import { type BoundedRows, MAX_MASKED_ROWS } from '../kernels/bounded-kernels.ts';
import { BOUNDED_ROW_NUMBERS } from '../kernels/constants.ts';
import { scoreStride } from '../kernels/quantized-kernels.ts';
import { floatBelow } from '../kernels/rounding.ts';
import { roundingOfMass } from './certificate.ts';

export interface CertifiedStep {
  /** Bytes of the cache that were read for bounds. */
  bytesScanned: number;
  /**
   * Undefined where nothing was read: the rows would have to read too large a share of their keys, or float32 is too coarse
   * for scores of this size.
   */
  read: CertifiedRead | undefined;
}

/** What the rows of a group have read. */
export interface CertifiedRead {
  /** Where the softmax state of the rows lies. */
  region: ThreadRegion;
  /** Keys that any row has read: each of them once from memory. */
  distinctKeys: number;
  rows: CertifiedRow[];
}

export interface CertifiedRow {
  /** Keys that the row has read. */
  count: number;
  /** Running log-sum-exp over them. */
  selectedSum: RunningLogSumExp;
  /** Upper bound on the log-sum-exp over the others. */
  tailBound: RunningLogSumExp;
}

/**
 * Attends with the rows of a group so that at most a share of each row's softmax stays unread, by a share of
 * `provableShare`, unless the rows would have to read more than `maxReadShare` of their keys.
 */
export function attendCertified(work: GroupWork, share: number, maxReadShare: number): CertifiedStep {
  const { rows, n } = work;
  if (rows > MAX_MASKED_ROWS || !(share > 0)) return { bytesScanned: 0, read: undefined };
  const sample = n >= MIN_SAMPLED_KEYS ? sampleOfPages(work) : undefined;
  const sampledBytes = sample === undefined ? 0 : boundScanBytes(sample);
  if (sample !== undefined && needsMostKeys(sample, share, maxReadShare)) {
    return { bytesScanned: sampledBytes, read: undefined };
  }
  boundScoresAbove(work);
  const bytesScanned = sampledBytes + boundScanBytes(work);
  const { kernels, workspace, views } = primaryRegion(work);
  const { indices, pooled: masks, scratch } = workspace;
  const bounded = boundedRowsOf(work, workspace);
  const maxKeys = Math.floor(maxReadShare * rows * n);
  kernels.countBounds(bounded);
  let region: ThreadRegion | undefined;
  let distinctKeys = 0;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const count = kernels.listForMass(bounded, share, maxKeys, indices, masks, scratch);
    if (count < 0) return { bytesScanned, read: undefined };
    if (count > 0) region = attendListed(work, count, region);
    distinctKeys += count;
    writeSums(views().f32, bounded, readStateSums(region as ThreadRegion, rows));
  }
  const read = { region: region as ThreadRegion, distinctKeys, rows: readRows(work, bounded, region as ThreadRegion) };
  return { bytesScanned, read };
}

/**
 * Keys from which on a few pages are tried first, which takes some 3 % of the step there: where rows would have to read most
 * of these keys, they would have to read most of all.
 */
const MIN_SAMPLED_KEYS = 4096;

/** Whether rows would have to read more than `maxReadShare` of their keys, by bounds on all of them. */
function needsMostKeys(work: GroupWork, share: number, maxReadShare: number): boolean {
  const { rows, n } = work;
  boundScoresAbove(work);
  const { kernels, workspace } = primaryRegion(work);
  const { indices, pooled: masks, scratch } = workspace;
  const bounded = boundedRowsOf(work, workspace);
  kernels.countBounds(bounded);
  return kernels.listForMass(bounded, share, Math.floor(maxReadShare * rows * n), indices, masks, scratch) < 0;
}

/** By bounds alone, then by what was read: a third list would be empty. */
const ATTEMPTS = 2;

/**
 * The share to leave unread by the bounds so that at most `tailMass` is, with what float32 does to both sums. A larger
 * share than .9 would leave rows with nothing to read.
 */
export function provableShare(work: GroupWork, tailMass: number): number {
  let share = Math.min(0.9, tailMass);
  for (let row = 0; row < work.rows; row++) {
    const bounded = (tailMass - roundingOfMass(work, row, work.n)) * Math.exp(-2 * maxScoreRoundingError(work, row));
    // Not Math.min, which would make a NaN of one row a NaN of all: no share is provable then either.
    if (!(bounded >= share)) share = bounded;
  }
  return floatBelow(share * (1 - 1e-6));
}

const boundedRowsOf = ({ rows, n }: GroupWork, { scores, boundHistograms, boundNumbers }: Workspace): BoundedRows => ({
  upper: scores,
  stride: scoreStride(n),
  rows,
  n,
  histograms: boundHistograms,
  numbers: boundNumbers,
});

const indicesIn = ({ indices }: Workspace): number => indices;

/** Adds the `count` listed keys to the state, which is in `start` if there is one yet. Returns the region where it ends. */
function attendListed(work: GroupWork, count: number, start: ThreadRegion | undefined): ThreadRegion {
  const { rows, shape, segments } = work;
  const primary = primaryRegion(work);
  const region = foldSegments(
    segments,
    rows,
    shape.headDim,
    (segment) => {
      const { region, pages } = segment;
      const part = listPartIn(work, segment, indicesIn, 0, count);
      const partCount = part.end - part.start;
      if (partCount === 0) return;
      const { queries, state, scratch } = region.workspace;
      let masks = primary.workspace.pooled + part.start * 4;
      if (region !== primary) {
        const partMasks = primary.views().i32.subarray(masks / 4, masks / 4 + partCount);
        masks = region.workspace.pooled;
        region.views().i32.set(partMasks, masks / 4);
      }
      region.kernels.attendMasked(pages, part.indices, masks, partCount, queries, rows, state, scratch);
    },
    ({ state }) => state,
    start,
  );
  return start === undefined ? countSinks(work, region) : region;
}

/** Tells the bounds what was read. */
function writeSums(f32: Float32Array, { numbers }: BoundedRows, sums: readonly RunningLogSumExp[]): void {
  for (const [row, sum] of sums.entries()) {
    f32[numbers / 4 + row * BOUNDED_ROW_NUMBERS + 2] = floatBelow(logSumExp(sum));
  }
}

function readRows(work: GroupWork, { numbers }: BoundedRows, region: ThreadRegion): CertifiedRow[] {
  const { f32, i32 } = primaryRegion(work).views();
  const sums = readStateSums(region, work.rows);
  const rows: CertifiedRow[] = [];
  for (let row = 0; row < work.rows; row++) {
    const at = numbers / 4 + row * BOUNDED_ROW_NUMBERS;
    // The bounds are of the query as it was scaled and rounded.
    const sum = (f32[at + 3] as number) * Math.exp(maxScoreRoundingError(work, row));
    const tailBound = { max: f32[at] as number, sum };
    rows.push({ count: i32[at + 4] as number, selectedSum: sums[row] as RunningLogSumExp, tailBound });
  }
  return rows;
}
