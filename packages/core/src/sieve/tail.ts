/**
 * The sampled tail: the rest of the selector's sample, attended by 4-bit keys and values, each key with the weight that
 * makes it stand for those that were not drawn. Numerator and denominator of the softmax are estimated by the same
 * weights.
 *
 * The error is estimated from the same reads: of sampling by `certificates/halves.ts`, and to that comes the rounding
 * of the certain keys' codes.
 */

import {
  extendLogSumExp,
  type GroupWork,
  logSumExp,
  normalizedOutputs,
  primaryRegion,
  readLogSumExp,
  scoreStrideOf,
  type ThreadRegion,
} from '../group/group-work.ts';
import { attendQuantized, mergeQuantizedStates } from '../group/quantized-work.ts';
import { quantizedRowBytes, rotatedDim } from '../kernels/layout.ts';
import type { Tail } from '../tails/tail.ts';
import { halfSampleDistance, halfSampleOf } from './half-samples.ts';

/**
 * Root mean square error of a 4-bit row, relative to its norm: a step is 1/8 of the largest number, in 64 rotated, and
 * so nearly normal, dimensions about 2.4 standard deviations, and 1 / sqrt(12) of a step is left. Scores and values both
 * have it.
 */
export const INT4_ROUNDING_ERROR = (2.4 / 8 / Math.sqrt(12)) * Math.SQRT2;

export default function createSampledTail(): Tail {
  return {
    name: 'sampled',
    encodings: ['int4'],
    dropsTail: false,
    requiresSample: true,
    add(work, { sample }, region) {
      const [certainKeys, firstHalf, secondHalf] = sample?.parts ?? [0, 0, 0];
      const keysQuantized = certainKeys + firstHalf + secondHalf;
      if (keysQuantized === 0) return { bytesRead: 0, keysQuantized, errors: work.queryNorms.map(() => 0) };
      const squares = work.queryNorms.map((_, row) => logSumOfSquares(work, certainKeys, row));
      attendQuantized(work, 0, certainKeys, 0);
      attendQuantized(work, certainKeys, firstHalf, 1);
      attendQuantized(work, certainKeys + firstHalf, secondHalf, 2);
      const dimensions = rotatedDim(work.shape.headDim);
      const [, firstHalfState, secondHalfState] = region.workspace.quantizedStates;
      const halfAt = (state: number, row: number) => halfSampleOf(region, state, work.rows, dimensions, row);
      const halfSamples = work.queryNorms.map(
        (_, row) => [halfAt(firstHalfState, row), halfAt(secondHalfState, row)] as const,
      );
      mergeQuantizedStates(work, region);

      const outputs = rotatedOutputs(work, region);
      const errors = halfSamples.map(([a, b], row) => {
        const total = logSumExp(readLogSumExp(region.views(), region.workspace.state + row * 8));
        const output = outputs.subarray(row * dimensions, (row + 1) * dimensions);
        const rounding = Math.exp((squares[row] as number) / 2 - total) * INT4_ROUNDING_ERROR * work.rmsValueNorm;
        return Math.hypot(halfSampleDistance(a, b, output, total), rounding);
      });
      // Of each key the value's codes and step; the key's were read to choose.
      return { bytesRead: keysQuantized * quantizedRowBytes(work.shape.headDim), keysQuantized, errors };
    },
  };
}

/** ln of the sum of the squared weights of the first `count` keys of the coded list. */
function logSumOfSquares(work: GroupWork, count: number, row: number): number {
  const primary = primaryRegion(work);
  const { scores, quantizedScores } = primary.workspace;
  const { f32 } = primary.views();
  const from = quantizedScores / 4 + row * scoreStrideOf(work);
  for (let j = 0; j < count; j++) f32[scores / 4 + j] = 2 * (f32[from + j] as number);
  return logSumExp(extendLogSumExp(primary, scores, count));
}

/** The outputs of all rows, rotated: (rows, D). */
function rotatedOutputs({ rows, shape }: GroupWork, region: ThreadRegion): Float32Array {
  const { kernels, workspace, views } = region;
  const dimensions = rotatedDim(shape.headDim);
  normalizedOutputs(region, rows, shape.headDim);
  // The first coded state has been merged; the halves are still looked at.
  const [spareState] = workspace.quantizedStates;
  kernels.rotate(workspace.outputs, rows, shape.headDim, spareState, workspace.scratch);
  return views().f32.subarray(spareState / 4, spareState / 4 + rows * dimensions);
}
