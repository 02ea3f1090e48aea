/**
 * A certified step in parts, for several threads. Part p of P has the pages p, p + P, p + 2 P, ..., and certifies its own
 * keys alone: what it leaves unread is at most the share of what it has read. So the parts need nothing of each other, and
 * together they leave at most that share too. Where a part would read too many of its keys it reads all of them. They read
 * somewhat more than one step would, since a part with little of the softmax may not leave more for it.
 */
import { attendAllKeys, exactRowBytes, type GroupWork, type RunningLogSumExp } from '../group/group-work.ts';
import { type Part, workOfPart } from '../group/parts.ts';
import { type Kernels, stateBytes } from '../kernels/kernels.ts';
import { floatAbove } from '../kernels/rounding.ts';
import type { Views } from '../kernels/views.ts';
import { attendCertified, type CertifiedRow, provableShare } from './certified-step.ts';

/** What the rows of a group have read in all parts, and their outputs. */
export interface MergedParts {
  /** (rows, d) */
  outputs: Float32Array;
  rows: CertifiedRow[];
  bytesRead: number;
}

/** Numbers of a row: keys that it has read, int32, and an upper bound on the running log-sum-exp over the others. */
const ROW_NUMBERS = 3;
/** States that are merged round their sums by 80 units of 2^-24 at most: see `roundingOfMass`. */
const MERGE_SLACK = 2 ** -15;

/** Layout of a part from an address on: bytes that were read, numbers of the rows, state, and room for outputs. */
function partAt(address: number, rows: number, headDim: number) {
  const numbers = address + 4;
  const state = address + Math.ceil((4 + ROW_NUMBERS * rows * 4) / 16) * 16;
  const outputs = state + stateBytes(rows, headDim);
  return { bytesRead: address, numbers, state, outputs, end: outputs + rows * headDim * 4 };
}

/** Bytes of one part, for `rows` rows of d numbers. */
export const certifiedPartBytes = (rows: number, headDim: number): number =>
  Math.ceil(partAt(0, rows, headDim).end / 16) * 16;

/** Attends with one part of a step, and writes its state at `address` in the memory of `views`. */
export function attendCertifiedPart(
  work: GroupWork,
  tailMass: number,
  maxReadShare: number,
  part: Part,
  views: () => Views,
  address: number,
): void {
  const { rows, shape } = work;
  const partWork = workOfPart(work, part);
  const share = provableShare(work, tailMass) * (1 - MERGE_SLACK);
  const { bytesScanned, read } = attendCertified(partWork, share, maxReadShare);
  const region = read?.region ?? attendAllKeys(partWork);
  const target = partAt(address, rows, shape.headDim);
  const { f32, i32 } = views();
  i32[target.bytesRead / 4] = bytesScanned + exactRowBytes(partWork, read?.distinctKeys ?? partWork.n);
  for (let row = 0; row < rows; row++) {
    const at = target.numbers / 4 + ROW_NUMBERS * row;
    const found = read?.rows[row];
    i32[at] = found?.count ?? partWork.n;
    f32[at + 1] = found?.tailBound.max ?? Number.NEGATIVE_INFINITY;
    f32[at + 2] = found === undefined ? 0 : floatAbove(found.tailBound.sum);
  }
  const { state } = region.workspace;
  f32.set(region.views().f32.subarray(state / 4, state / 4 + stateBytes(rows, shape.headDim) / 4), target.state / 4);
}

/** Merges all parts of a step, which lie one behind the other from `address` on. */
export function mergeCertifiedParts(
  { rows, shape }: GroupWork,
  parts: number,
  kernels: Kernels,
  views: () => Views,
  address: number,
): MergedParts {
  const { headDim } = shape;
  const sum = partAt(address, rows, headDim);
  const counts = new Array<number>(rows).fill(0);
  const tails = Array.from({ length: rows }, (): RunningLogSumExp => ({ max: Number.NEGATIVE_INFINITY, sum: 0 }));
  let bytesRead = 0;
  for (let part = 0; part < parts; part++) {
    const each = partAt(address + part * certifiedPartBytes(rows, headDim), rows, headDim);
    if (part > 0) kernels.mergeState(sum.state, each.state, rows, headDim);
    const { f32, i32 } = views();
    bytesRead += i32[each.bytesRead / 4] as number;
    for (const [row, tail] of tails.entries()) {
      const at = each.numbers / 4 + ROW_NUMBERS * row;
      counts[row] = (counts[row] as number) + (i32[at] as number);
      addTail(tail, f32[at + 1] as number, f32[at + 2] as number);
    }
  }
  kernels.normalize(sum.state, rows, headDim, sum.outputs, headDim * 4);
  const { f32 } = views();
  const outputs = f32.slice(sum.outputs / 4, sum.outputs / 4 + rows * headDim);
  const read = tails.map(
    (tailBound, row): CertifiedRow => ({
      count: counts[row] as number,
      selectedSum: { max: f32[sum.state / 4 + 2 * row] as number, sum: f32[sum.state / 4 + 2 * row + 1] as number },
      tailBound,
    }),
  );
  return { outputs, rows: read, bytesRead };
}

/** Adds the tail of a part, a multiple of e^max, to the tails of others. */
function addTail(tails: RunningLogSumExp, max: number, sum: number): void {
  if (max === Number.NEGATIVE_INFINITY) return;
  const largest = Math.max(tails.max, max);
  // Rounded up, by far more than these exponentials are off.
  tails.sum = (tails.sum * Math.exp(tails.max - largest) + sum * Math.exp(max - largest)) * (1 + 2 ** -40);
  tails.max = largest;
}
