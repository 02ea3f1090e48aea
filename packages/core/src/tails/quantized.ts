/**
 * The whole tail, quantized: every unselected key counts with its score from int8 keys and with its 4-bit value. It reads
 * more than any other tail, and bounds the error of the output.
 *
 * With o the output and o* the exact one, o* - o = sum_j w_j (v_j - o) / Z, w_j = e^(s_j) and Z their sum. Quantized rows
 * give scores s' with |s_j - s'_j| <= delta_j and values x with ||v_j - x_j|| <= rho_j, and o = sum w' x / sum w', so that
 * sum w' (x - o) = 0. What is left is
 *
 *   ||o* - o|| <= sum over the tail of w'_j ((e^delta_j - 1) ||x_j - o|| + e^delta_j rho_j) / Z,
 *
 * and Z is at least the sum over the selected keys plus that of the lower bounds of the others. The bound is 5 to 20 times
 * the error: it adds up norms, whereas the errors of keys point in all directions and nearly cancel.
 */

import {
  exactRowBytes,
  type GroupWork,
  logSumExp,
  normalizedOutputs,
  primaryRegion,
  type RunningLogSumExp,
  readLogSumExp,
  rowScores,
} from '../group/group-work.ts';
import {
  attendQuantized,
  boundAllScores,
  maxScoreRoundingError,
  mergeQuantizedStates,
  scoreLowerBounds,
} from '../group/quantized-work.ts';
import { fromBfloat16 } from '../kernels/bfloat16.ts';
import { PAGE_KEYS, rotatedDim } from '../kernels/layout.ts';
import type { Tail } from './tail.ts';
import { attendUnquantized, listUnselected } from './unselected.ts';

export default function createQuantized(): Tail {
  return {
    name: 'quantized',
    encodings: ['bounds', 'int4'],
    dropsTail: false,
    requiresSample: false,
    add(work, { count, hasScoreBounds }, region) {
      if (count === work.n) return { bytesRead: 0, keysQuantized: 0 };
      if (!hasScoreBounds) boundAllScores(work);
      const selectedSum = readLogSumExp(region.views(), region.workspace.state);
      const { quantized, unquantized } = listUnselected(work, count);
      const bound = weightTail(work, quantized, selectedSum);
      if (bound === undefined) return { bytesRead: 0, keysQuantized: 0 };
      attendUnquantized(work, unquantized, region);
      attendQuantized(work, 0, quantized.length, 0);
      for (const stateIndex of [1, 2] as const) attendQuantized(work, quantized.length, 0, stateIndex);
      mergeQuantizedStates(work, region);

      const { headDim } = work.shape;
      const norm = Math.hypot(...normalizedOutputs(region, 1, headDim));
      const bytes = quantized.length * (rotatedDim(headDim) / 2 + 2) + exactRowBytes(work, unquantized.length);
      const errorBound = bound.slope * (work.maxValueNorm + norm) + bound.offset;
      return { bytesRead: bytes, keysQuantized: quantized.length + unquantized.length, errorBound };
    },
  };
}

/**
 * Writes the quantized scores of the tail to `quantizedScores` of the workspace, and adds up the error bound, as shares of
 * Z: `slope` times ||x - o||, plus `offset`. `selectedSum` is the sum over the selected keys. Undefined where numbers are
 * too large for the bounds to say anything.
 */
function weightTail(
  work: GroupWork,
  quantized: Int32Array,
  selectedSum: RunningLogSumExp,
): { slope: number; offset: number } | undefined {
  const { views, workspace } = primaryRegion(work);
  const upper = rowScores(work);
  const lower = scoreLowerBounds(work);
  const scores = views().f32.subarray(workspace.quantizedScores / 4, workspace.quantizedScores / 4 + quantized.length);
  const d = rotatedDim(work.shape.headDim);
  const roundingError = maxScoreRoundingError(work);
  // Rounding of a rotation and of quantized numbers in float32, for the longest value.
  const rotation = 2 ** -16 * work.maxValueNorm;
  const steps = valueQuantizationSteps(work);
  const scale = logSumExp(selectedSum);
  let [slope, offset, tailLowerBound] = [0, 0, 0];
  for (let i = 0; i < quantized.length; i++) {
    const position = quantized[i] as number;
    const lowerScore = lower[position] as number;
    const upperScore = upper[position] as number;
    const score = Math.fround((lowerScore + upperScore) / 2);
    if (!Number.isFinite(score)) return undefined;
    scores[i] = score;
    const delta = Math.max(upperScore - score, score - lowerScore) + roundingError;
    const weight = Math.exp(score - scale);
    const growth = Math.expm1(delta);
    if (!Number.isFinite(growth)) return undefined;
    // A 4-bit number is off by at most half of 16 steps of 8 bits in each dimension.
    const rho = 8 * steps(position) * Math.sqrt(d) + rotation;
    slope += weight * (growth + WEIGHT_ROUNDING);
    offset += weight * (growth + 1 + growth) * rho;
    tailLowerBound += Math.exp(lowerScore - roundingError - scale);
  }
  // The sum over the selected keys has float32 scores, each off by (d / 4 + 32) u ||q|| ||k||, and twice that in int8.
  const rounding = (d / 4 + 32) * 2 ** -22 * (work.queryNorms[0] as number) * work.maxKeyNorm;
  const z = Math.exp(-rounding) * (1 - 2 ** -12) + tailLowerBound;
  const bound = { slope: ((1 + 1e-9) * slope) / z, offset: ((1 + 1e-9) * offset) / z };
  return Number.isFinite(bound.slope + bound.offset) ? bound : undefined;
}

/** The weights of 64 keys are rounded to 1 / 65,534 of the largest: together by less than this share of their sum. */
const WEIGHT_ROUNDING = 2 ** -10;

/** The int8 quantization step of the value at a position. Positions must ascend from call to call. */
function valueQuantizationSteps({ segments, shape }: GroupWork): (position: number) => number {
  const rows = PAGE_KEYS * rotatedDim(shape.headDim);
  let [end, currentPage, steps] = [0, -1, 0];
  let segment = segments[0] as GroupWork['segments'][number];
  let { u16, u32 } = segment.region.views();
  return (position) => {
    for (let i = 0; position >= end; i++) {
      segment = segments[i] as GroupWork['segments'][number];
      end = segment.to;
      ({ u16, u32 } = segment.region.views());
    }
    const page = Math.floor(position / PAGE_KEYS);
    if (page !== currentPage) {
      const { pages } = segment;
      steps = ((u32[pages.table / 4 + page] as number) + pages.headOffset + pages.int4 + rows) / 2;
      currentPage = page;
    }
    return fromBfloat16(u16[steps + 2 * (position % PAGE_KEYS) + 1] as number);
  };
}
