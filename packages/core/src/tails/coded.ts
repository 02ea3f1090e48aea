/**
 * The whole tail by its codes: every key that was not chosen counts with the score that its int8 codes have, and with its
 * 4-bit value. It reads more than any other tail, and bounds the error of what comes of it.
 *
 * With o the output and o* the exact one, o* - o = sum_j w_j (v_j - o) / Z, w_j = e^(s_j) and Z their sum. The codes give
 * scores s' with |s_j - s'_j| <= delta_j and values x with ||v_j - x_j|| <= rho_j, and o = sum w' x / sum w', so that
 * sum w' (x - o) = 0. What is left is
 *
 *   ||o* - o|| <= sum over the tail of w'_j ((e^delta_j - 1) ||x_j - o|| + e^delta_j rho_j) / Z,
 *
 * and Z is at least the sum of the chosen keys and of the lower bounds of the others. The bound is 5 to 20 times the
 * error: it adds up lengths, where the errors of keys point everywhere and all but cancel.
 */
import { attendCoded, boundAll, lowerBoundsOf, mergeCoded, movedByRounding } from '../cache/code-query.ts';
import {
  exactBytes,
  finishedOutputs,
  type HeadQuery,
  homeOf,
  logOf,
  readSum,
  type SoftmaxSum,
  scoresOf,
} from '../cache/head-query.ts';
import { codeDim, PAGE_KEYS } from '../kernels/layout.ts';
import { fromUpper16 } from '../kernels/upper16.ts';
import type { Tail } from './tail.ts';
import { attendOpen, listUnread } from './unread.ts';

export default function createCoded(): Tail {
  return {
    name: 'coded',
    planes: ['int8'],
    drops: false,
    readsSample: false,
    add(query, { count, bounded }, region) {
      if (count === query.n) return { bytesRead: 0, keysCoded: 0 };
      if (!bounded) boundAll(query);
      const head = readSum(region.views(), region.workspace.state);
      const { coded, open } = listUnread(query, count);
      const sums = weighTail(query, coded, head);
      if (sums === undefined) return { bytesRead: 0, keysCoded: 0 };
      attendOpen(query, open, region);
      attendCoded(query, 0, coded.length, 0);
      for (const half of [1, 2] as const) attendCoded(query, coded.length, 0, half);
      mergeCoded(query, region);

      const { headDim } = query.shape;
      const norm = Math.hypot(...finishedOutputs(region, 1, headDim));
      const bytes = coded.length * (codeDim(headDim) / 2 + 2) + exactBytes(query, open.length);
      const errorBound = sums.perLength * (query.valueNorm + norm) + sums.constant;
      return { bytesRead: bytes, keysCoded: coded.length + open.length, errorBound };
    },
  };
}

/**
 * Puts the scores by codes of the tail into `codedScores`, and adds up what their bounds and the values' codes leave
 * open, as shares of Z: times ||x - o||, and as it is. `head` is the sum of the chosen keys. Undefined where numbers are
 * too large for the bounds to say anything.
 */
function weighTail(
  query: HeadQuery,
  coded: Int32Array,
  head: SoftmaxSum,
): { perLength: number; constant: number } | undefined {
  const { views, workspace } = homeOf(query);
  const upper = scoresOf(query);
  const lower = lowerBoundsOf(query);
  const scores = views().f32.subarray(workspace.codedScores / 4, workspace.codedScores / 4 + coded.length);
  const d = codeDim(query.shape.headDim);
  const moved = movedByRounding(query);
  // Rounding of a rotation and of codes in float32, of the longest value.
  const rotation = 2 ** -16 * query.valueNorm;
  const steps = valueSteps(query);
  const scale = logOf(head);
  let [perLength, constant, least] = [0, 0, 0];
  for (let i = 0; i < coded.length; i++) {
    const position = coded[i] as number;
    const low = lower[position] as number;
    const high = upper[position] as number;
    const score = Math.fround((low + high) / 2);
    if (!Number.isFinite(score)) return undefined;
    scores[i] = score;
    const delta = Math.max(high - score, score - low) + moved;
    const weight = Math.exp(score - scale);
    // A code of 4 bits is off by at most half of 16 steps in each dimension.
    const rho = 8 * steps(position) * Math.sqrt(d) + rotation;
    perLength += weight * Math.expm1(delta);
    constant += weight * (Math.expm1(delta) + 1 + Math.expm1(delta)) * rho;
    least += Math.exp(low - moved - scale);
  }
  // The sum of the chosen keys in float32 scores: each is off by (d / 4 + 32) u ||q|| ||k||, and as much again in int8.
  const rounding = (d / 4 + 32) * 2 ** -22 * (query.norms[0] as number) * query.keyNorm;
  const z = Math.exp(-rounding) * (1 - 2 ** -12) + least;
  return { perLength: ((1 + 1e-9) * perLength) / z, constant: ((1 + 1e-9) * constant) / z };
}

/** The step of a value's int8 codes, by its position: positions are asked for in ascending order. */
function valueSteps({ segments, shape }: HeadQuery): (position: number) => number {
  const rows = PAGE_KEYS * codeDim(shape.headDim);
  let [end, opened, steps] = [0, -1, 0];
  let segment = segments[0] as HeadQuery['segments'][number];
  let { u16, u32 } = segment.region.views();
  return (position) => {
    for (let i = 0; position >= end; i++) {
      segment = segments[i] as HeadQuery['segments'][number];
      end = segment.to;
      ({ u16, u32 } = segment.region.views());
    }
    const page = Math.floor(position / PAGE_KEYS);
    if (page !== opened) {
      const { pages } = segment;
      steps = ((u32[pages.table / 4 + page] as number) + pages.headOffset + pages.int4 + rows) / 2;
      opened = page;
    }
    return fromUpper16(u16[steps + 2 * (position % PAGE_KEYS) + 1] as number);
  };
}
