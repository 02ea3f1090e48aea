/**
 * From a budget to what a step does: how many keys are drawn, which are always included, which are attended exactly.
 */
import type { Budget } from '../budgets/budget.ts';
import type { GroupWork } from '../group/group-work.ts';
import { firstUnquantizedKey, int4ScoreErrors, signScanBytes, workScanFractionBits } from '../group/quantized-work.ts';
import { rowBytes } from '../kernels/layout.ts';
import type { DrawPlan, SieveStep } from '../kernels/quantized-kernels.ts';
import { groupBudget, sinksAndRecent } from '../selectors/selector.ts';
import {
  INT4_ROUNDING_ERROR,
  KEPT_RECENT_KEYS,
  MAX_WEIGHT_RATIO,
  MIN_DRAWN_KEYS,
  MIN_EXACT_SHARE,
  PROPOSAL_EXPONENT,
  SAMPLE_KEYS_PER_BUDGET_KEY,
  SINK_KEYS,
  USUAL_QUANTIZED_ERROR,
} from './constants.ts';

/** Keys of the sample for a budget of `keys`, of n. */
export const sampleSize = (keys: number, n: number): number =>
  Math.max(SAMPLE_KEYS_PER_BUDGET_KEY * keys, alwaysIncludedKeys(n) + MIN_DRAWN_KEYS);

/** Whether a budget of `keys` attends to all n keys, without a scan. */
export const coversAllKeys = (keys: number, n: number): boolean => keys >= n && sampleSize(keys, n) >= n;

/**
 * The whole step of a group whose rows' scores by 4-bit keys have these errors; undefined where the budget is one of tail mass, or
 * covers all keys.
 */
export function planSieveStep(
  work: GroupWork,
  budget: Budget,
  scoreErrors: readonly number[] = int4ScoreErrors(work),
): SieveStep | undefined {
  const { n, rows } = work;
  const keys = groupBudget(work, budget);
  if (budget.tailMass !== undefined || coversAllKeys(keys, n)) return undefined;
  return {
    n,
    rows,
    fractionBits: workScanFractionBits(work),
    plan: planDraw(n, sampleSize(keys, n)),
    proposalExponent: PROPOSAL_EXPONENT,
    logCap: Math.log(MAX_WEIGHT_RATIO),
    exact: planExactKeys(keys, n, MIN_EXACT_SHARE * quantizedShareFactor(scoreErrors)),
  };
}

/** The draw of at most `maxKeys` keys. Sinks, recent keys and the keys of the open page are always included. */
export const planDraw = (n: number, maxKeys: number): DrawPlan => ({
  n,
  sinks: Math.min(n, SINK_KEYS),
  recentFrom: Math.max(0, n - (alwaysIncludedKeys(n) - SINK_KEYS)),
  maxKeys,
  // Another position, another draw: no key is passed over for ever.
  seed: n,
});

/**
 * Which keys of the sample are attended exactly, beside those of the open page: no more than the budget, of a
 * share of at least `minExactShare` / (keys of the sample). Sinks and recent keys come first.
 */
export function planExactKeys(keys: number, n: number, minExactShare: number): SieveStep['exact'] {
  const unquantizedKeys = n - firstUnquantizedKey(n);
  const maxKeys = Math.max(SINK_KEYS, keys - unquantizedKeys);
  const { sinks, recent } = sinksAndRecent(maxKeys + unquantizedKeys);
  return { maxKeys, minLogShare: Math.log(minExactShare / sampleSize(keys, n)), sinks, recentFrom: n - recent };
}

/**
 * The share that a key may have to be read by 4-bit codes, relative to the usual one. A score that is off by g z nats, z
 * normal, changes a share by e^(g z) - 1, of mean square e^(2 g^2) - 2 e^(g^2 / 2) + 1.
 */
export function quantizedShareFactor(scoreErrors: readonly number[]): number {
  const variance = Math.max(...scoreErrors) ** 2;
  const error = Math.sqrt(INT4_ROUNDING_ERROR ** 2 + Math.exp(2 * variance) - 2 * Math.exp(variance / 2) + 1);
  return Math.min(1, USUAL_QUANTIZED_ERROR / error);
}

/** Bytes that the scan by signs reads. */
export const scanBytes = ({ n, shape }: GroupWork): number =>
  signScanBytes(n, shape.headDim, rowBytes(shape.headDim, shape.precision));

const alwaysIncludedKeys = (n: number): number =>
  SINK_KEYS + n - Math.min(n - KEPT_RECENT_KEYS, firstUnquantizedKey(n));
