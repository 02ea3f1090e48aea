/**
 * How near an output must be to the truth: within twice the error of plain float32 on the same numbers, both measured
 * in float64 (the rule of FlashAttention's own tests).
 */
import { expect } from 'vitest';
import type { HeadNumbers, Rows } from '../../../test/kernel-rig.ts';
import {
  type AttentionProblem,
  attention32,
  attention64,
  distance,
  positionsBelow,
  score64,
} from '../../../test/plain-attention.ts';

/** Half a unit in the last place of a float32 near 1. */
export const UNIT = 2 ** -24;

/** The problem that a kernel is given: rows over one head, each with the keys that it may see. */
export function problemOf(head: HeadNumbers, rows: Rows, seen?: readonly ArrayLike<number>[]): AttentionProblem {
  const all = positionsBelow(head.n);
  const { limit, group, window = Number.POSITIVE_INFINITY, softCap } = rows;
  const visible = (row: number) => {
    const end = limit + Math.floor(row / group);
    return all.subarray(Math.max(0, end - window), Math.min(head.n, end));
  };
  return {
    ...(softCap !== undefined && { softCap }),
    headDim: head.headDim,
    queries: rows.queries,
    keys: head.keys,
    values: head.values,
    visible: seen ?? Array.from({ length: rows.rows }, (_, row) => visible(row)),
  };
}

/**
 * A plain error can be zero by luck, above all where few keys have weight, so a floor is added to it. The weight p_j of
 * a key is rounded two to four times on its way into the output, each time by at most u p_j, and independently of the
 * other keys: so the least error to be expected is about u sqrt(sum p_j^2) max |v|. The floor is four of these. Over
 * n keys of equal weight it falls with 1 / sqrt(n), as the plain error does, and never hides it.
 */
function errorFloor(problem: AttentionProblem, logSumExp: Float64Array): number {
  let floor = 0;
  for (const [row, positions] of problem.visible.entries()) {
    let squared = 0;
    let max = 0;
    for (let j = 0; j < positions.length; j++) {
      const position = positions[j] as number;
      squared += Math.exp(2 * (score64(problem, row, position) - (logSumExp[row] as number)));
      for (let i = 0; i < problem.headDim; i++) {
        max = Math.max(max, Math.abs(problem.values[position * problem.headDim + i] as number));
      }
    }
    floor = Math.max(floor, 4 * UNIT * Math.sqrt(squared) * max);
  }
  return floor;
}

/**
 * Throws unless `outputs` (rows, d) solve the problem within twice the error of plain float32. `rounded` is the problem
 * as float32 has it, where its numbers are not float32 themselves.
 */
export function expectAccurate(
  outputs: Float32Array,
  problem: AttentionProblem,
  what: string,
  rounded: AttentionProblem = problem,
): void {
  const truth = attention64(problem);
  const plain = distance(attention32(rounded), truth.outputs);
  const actual = distance(outputs, truth.outputs);
  const close = (factor: number) => actual.max <= 2 * plain.max + factor && actual.norm <= 2 * plain.norm + factor;
  // The floor costs as much as the attention, and hardly any case needs it.
  if (close(0)) return;
  const floor = errorFloor(problem, truth.logSumExp);
  expect(actual.max, `${what}: largest error, floor ${floor}`).toBeLessThanOrEqual(2 * plain.max + floor);
  const maxNorm = 2 * plain.norm + floor * Math.sqrt(outputs.length / 4);
  expect(actual.norm, `${what}: norm of the error, floor ${floor}`).toBeLessThanOrEqual(maxNorm);
}
