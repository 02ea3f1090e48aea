/**
 * The sieve: softmax attention as importance sampling. One sample of the keys serves all query heads of a GQA group.
 *
 *   s1_j = scores of all keys by their signs;  L1 = ln sum_j e^s1_j                    (10 to 12 bytes a key)
 *   g_j = PROPOSAL_EXPONENT * max over heads of (s1_j - L1)                            (a key's share, tempered)
 *   draw key j with probability pi_j = min(1, e^(g_j - t)),  t such that at most m are drawn
 *   s4_j = scores of the sample by 4-bit keys                                          (D / 2 + 2 bytes a drawn key)
 *   ln w_j = max(s4_j, min(s4_j - ln pi_j, cap))                                       (importance weights, capped)
 *   the largest w_j, no more keys than the budget, are recomputed from exact keys and values
 *   the other keys of the sample enter by w_j and their 4-bit values, in two random halves
 *   output = sum w_j v_j / sum w_j;  error = the difference of the halves, the noise of 4 bits, and what was not drawn
 *
 * Weighting by 1 / pi estimates the sums over all keys without bias (Horvitz and Thompson 1952; for attention MagicPIG,
 * arXiv 2410.16179, and vAttention, arXiv 2510.05688): nothing is cut off, so a flat head loses accuracy slowly. The
 * cap trades a little bias for the rare key that looked light and is heavy. Sinks, recent keys and the keys of the open
 * page, which are not quantized yet, are always drawn. Where signs tell too little of the keys for the queries of a group, a
 * second sample is drawn by 4-bit scores and attended exactly; where 4 bits do, all keys are read.
 *
 * Where things are:
 *
 *   constants.ts              every number that was chosen
 *   plan.ts                   from a budget to m and the always included keys
 *   step.ts                   one position of a group, in one kernel call; `kernels/reference/sieve.ts` specifies it
 *   step-by-step.ts           the same position kernel by kernel, for what one call cannot do
 *   finer-draw.ts             a position whose sample is in doubt, once more
 *   split-step.ts             one position in parts, for several threads
 *   block.ts                  a block of positions, which share one sample
 *   block-fit.ts              what a block's drawn keys tell of the others
 *   undrawn.ts                what the keys that a step did not draw may weigh
 *   half-samples.ts           the distance of the halves of a sample
 *   error-estimate.ts         the error estimate
 *   head-budget-allocator.ts  the budget of a prompt, divided over its heads
 *
 * Its buffers are a section of `group/workspace.ts`, its arithmetic is in `kernels/` and `assembly/`.
 */
import { scoreRounding } from '../group/quantized-work.ts';
import type { Selector } from '../selectors/selector.ts';
import type { Tail } from '../tails/tail.ts';
import { blockSampling } from './block.ts';
import { MAX_ERROR_IN_DOUBT, MAX_FINER_ERROR, MAX_SCORE_ROUNDING } from './constants.ts';
import { selectByFinerDraw } from './finer-draw.ts';
import { sampleSize } from './plan.ts';
import { addSample, selectSample } from './step-by-step.ts';

/**
 * The first half of the policy `sieve`, as a selector: draws a sample and selects the keys that are attended exactly.
 */
export const createSieve = (): Selector => ({
  name: 'sieve',
  encodings: ['int4'],
  unit: 'group',
  certain: false,
  sampleSize,
  blockSampling,
  doubt: {
    maxError: MAX_ERROR_IN_DOUBT,
    holds: (work) => scoreRounding(work) > MAX_SCORE_ROUNDING,
    again: { maxError: MAX_FINER_ERROR, select: selectByFinerDraw },
  },
  select: selectSample,
});

/** The second half of the policy `sieve`, as a tail: the rest of the sample, by 4-bit keys and values. */
export const createSampledTail = (): Tail => ({
  name: 'sampled',
  encodings: ['int4'],
  dropsTail: false,
  requiresSample: true,
  add: addSample,
});
