/**
 * The sampled tail: the rest of the selector's sample, attended by 4-bit keys and values, each key with the weight that
 * makes it stand for those that were not drawn. Numerator and denominator of the softmax are estimated by the same
 * weights.
 *
 * The error is estimated from the same reads: of sampling by `certificates/halves.ts`, and to that comes the rounding
 * of the certain keys' codes.
 */
import { attendCoded, mergeCoded } from '../cache/code-query.ts';
import {
  finishedOutputs,
  type HeadQuery,
  homeOf,
  logOf,
  readSum,
  strideOf,
  sumOver,
  type ThreadRegion,
} from '../cache/head-query.ts';
import { distanceOfHalves, halfOf } from '../certificates/halves.ts';
import { codeDim, codedBytes } from '../kernels/layout.ts';
import type { Tail } from './tail.ts';

/**
 * Root mean square error of a 4-bit row, relative to its norm: a step is 1/8 of the largest number, in 64 rotated, and
 * so nearly normal, dimensions about 2.4 standard deviations, and 1 / sqrt(12) of a step is left. Scores and values both
 * have it.
 */
export const ROUNDING = (2.4 / 8 / Math.sqrt(12)) * Math.SQRT2;

export default function createSampled(): Tail {
  return {
    name: 'sampled',
    planes: ['int4'],
    drops: false,
    readsSample: true,
    add(query, { sample }, region) {
      const [certain, oneHalf, otherHalf] = sample?.parts ?? [0, 0, 0];
      const keysCoded = certain + oneHalf + otherHalf;
      if (keysCoded === 0) return { bytesRead: 0, keysCoded, errors: query.norms.map(() => 0) };
      const squares = query.norms.map((_, row) => logSumOfSquares(query, certain, row));
      attendCoded(query, 0, certain, 0);
      attendCoded(query, certain, oneHalf, 1);
      attendCoded(query, certain + oneHalf, otherHalf, 2);
      const dimensions = codeDim(query.shape.headDim);
      const [, stateA, stateB] = region.workspace.codedStates;
      const half = (state: number, row: number) => halfOf(region, state, query.rows, dimensions, row);
      const halves = query.norms.map((_, row) => [half(stateA, row), half(stateB, row)] as const);
      mergeCoded(query, region);

      const outputs = rotatedOutputs(query, region);
      const errors = halves.map(([a, b], row) => {
        const total = logOf(readSum(region.views(), region.workspace.state + row * 8));
        const output = outputs.subarray(row * dimensions, (row + 1) * dimensions);
        const rounding = Math.exp((squares[row] as number) / 2 - total) * ROUNDING * query.typicalValueNorm;
        return Math.hypot(distanceOfHalves(a, b, output, total), rounding);
      });
      // Of each key the value's codes and step; the key's were read to choose.
      return { bytesRead: keysCoded * codedBytes(query.shape.headDim), keysCoded, errors };
    },
  };
}

/** ln of the sum of the squared weights of the first `count` keys of the coded list. */
function logSumOfSquares(query: HeadQuery, count: number, row: number): number {
  const home = homeOf(query);
  const { scores, codedScores } = home.workspace;
  const { f32 } = home.views();
  const from = codedScores / 4 + row * strideOf(query);
  for (let j = 0; j < count; j++) f32[scores / 4 + j] = 2 * (f32[from + j] as number);
  return logOf(sumOver(home, scores, count));
}

/** The outputs of all rows, rotated: (rows, D). */
function rotatedOutputs({ rows, shape }: HeadQuery, region: ThreadRegion): Float32Array {
  const { kernels, workspace, views } = region;
  const dimensions = codeDim(shape.headDim);
  finishedOutputs(region, rows, shape.headDim);
  // The first coded state has been merged; the halves are still looked at.
  const [free] = workspace.codedStates;
  kernels.rotate(workspace.outputs, rows, shape.headDim, free, workspace.scratch);
  return views().f32.subarray(free / 4, free / 4 + rows * dimensions);
}
