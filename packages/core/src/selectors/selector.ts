/**
 * A selector chooses the keys that are attended exactly. It writes their positions, ascending and without repeats, to
 * `selectedPositions` of the work, and returns what it learned about the other keys.
 */
import { type Budget, maxKeys } from '../budgets/budget.ts';
import type { GroupWork, RunningLogSumExp, ThreadRegion } from '../group/group-work.ts';
import type { Encoding } from '../kernels/layout.ts';

export interface Selection {
  /** Keys selected: the number of positions written. */
  count: number;
  /**
   * Running log-sum-exp of each row over all keys that the query may see; undefined unless the selector scored them all
   * exactly, but for rounding.
   */
  totalSums?: readonly RunningLogSumExp[];
  /** Upper bound on the log-sum-exp over the unselected keys, if the selector knows one. For single rows only. */
  tailBound?: RunningLogSumExp;
  /** Upper bound on the softmax mass of the unselected keys, rounding included, if known. For single rows only. */
  tailShare?: number;
  /** Whether the workspace holds bounds on all scores, as `boundAllScores` leaves them. For single rows only. */
  hasScoreBounds?: boolean;
  /** The sampled keys beside the selected ones, if the selector draws a sample. */
  sample?: SieveSample;
  /** Bytes of the cache that were read to select. */
  bytesScanned: number;
}

/**
 * Keys to be attended quantized, in the list of quantized keys of the primary region's workspace, with their log-weights.
 * The selected keys have weights too: the workspace holds their probabilities and the caps.
 */
export interface SieveSample {
  /**
   * Lengths of the three parts of the list, in order: keys drawn with certainty, and the others divided into two halves,
   * whose difference tells how far the sample can be trusted.
   */
  parts: readonly [certain: number, oneHalf: number, otherHalf: number];
  /** ln of the expected sum of the squared weights of the keys that were not drawn (rows). */
  logUndrawnSquares: readonly number[];
}

export interface Selector {
  readonly name: string;
  /** Encodings that it reads, beside the exact rows. */
  readonly encodings: readonly Encoding[];
  /** Whether it selects for each query head, or the same keys for all heads of a GQA group. */
  readonly unit: 'head' | 'group';
  /** Whether a budget of tail mass is guaranteed: the unselected keys have at most that mass. */
  readonly certain: boolean;
  /** Size of the sample for a budget of `keys` of n keys, from which its time is estimated. Default: it draws none. */
  sampleSize?(keys: number, n: number): number;
  /** How a block of consecutive queries shares a sample. Default: every position selects on its own. */
  readonly blockSampling?: BlockSampling;
  /**
   * When a sample is in doubt: where `holds`, that is, where codes tell keys apart too little, and a query says of itself a
   * relative error above `maxError`. Then `again.select` gives a selection that may do, or undefined; where there is none, or a
   * query is still further off than `again.maxError`, every key is read. Default: never.
   */
  readonly doubt?: {
    readonly maxError: number;
    holds(work: GroupWork): boolean;
    readonly again: { readonly maxError: number; select(work: GroupWork, budget: Budget): Selection | undefined };
  };
  select(query: GroupWork, budget: Budget): Selection;
}

/** One sample of the keys for a block of consecutive queries of a GQA group. */
export interface BlockSampling {
  /**
   * The sample of a block whose first query sees `limit` keys, where `budgetOf(n)` is the budget of a position with n
   * keys and `budgetFactor` what the head gets of it; undefined where attending to all keys is as fast.
   */
  plan(limit: number, budgetOf: (n: number) => number, budgetFactor: number): BlockSample | undefined;
  /**
   * Attends with the rows of a block, which the workspaces hold, over all keys that the last of them sees. The outputs
   * (rows, d) take the place of the queries in the outcome's region.
   */
  attend(work: GroupWork, block: BlockOfRows, sample: BlockSample): BlockOutcome;
}

/** Rows (queries, group) of consecutive positions. */
export interface BlockOfRows {
  /** Query heads of the GQA group. */
  groupSize: number;
  /** Keys that the first query sees; each further query sees one more. */
  limit: number;
}

export interface BlockSample {
  /** The sample is of the keys before this one; the keys from it on are attended in full. */
  pastKeys: number;
  /** Keys of the sample, at most. */
  maxKeys: number;
}

export interface BlockOutcome {
  /** Where the outputs are. */
  region: ThreadRegion;
  /** Past keys that were attended. */
  sampledKeys: number;
  bytesRead: number;
  /** What is known of the error of each row. */
  findings: BlockFindings[];
}

/** What a block leaves of a row for the estimate of its error. */
export interface BlockFindings {
  /** What `mergeHalfSamples` of the kernels says of it. */
  halfSamples: Float32Array;
  /** Expected sum of the squared shares of the keys that were not drawn. */
  undrawnSquares: number;
  /** Share of the sum that was gathered, and rounded to codes for it. */
  gatheredShare: number;
}

/** The query heads of one position that select together: `rows` of them from `head` on. */
export type GroupPosition = Pick<GroupWork, 'n' | 'layer' | 'head' | 'rows'>;

/** The budget of a group: the largest of its heads'. */
export function groupBudget({ n, layer, head, rows }: GroupPosition, budget: Budget): number {
  let keys = 0;
  for (let row = 0; row < rows; row++) keys = Math.max(keys, maxKeys(budget, { n, layer, head: head + row }));
  return keys;
}

/** Keys that every selector keeps: attention sinks (arXiv 2309.17453) and the nearest neighbours. */
export const SINK_KEYS = 4;
/** Number of last keys that every selector keeps. */
export const KEPT_RECENT_KEYS = 32;

/** How many of `count` keys are sinks and recent ones. Where there are few, recent keys have precedence. */
export function sinksAndRecent(count: number): { sinks: number; recent: number } {
  const recent = Math.min(KEPT_RECENT_KEYS, Math.ceil(count / 2));
  return { sinks: Math.min(SINK_KEYS, count - recent), recent };
}

/** Writes the positions of the first `sinks` and the last `recent` of n keys, with room for `scoredKeys` in between. */
export function writeSinksAndRecent(
  positions: Int32Array,
  n: number,
  sinks: number,
  recent: number,
  scoredKeys: number,
): void {
  for (let i = 0; i < sinks; i++) positions[i] = i;
  for (let i = 0; i < recent; i++) positions[sinks + scoredKeys + i] = n - recent + i;
}

/** Selects all n keys. */
export function selectAllKeys(positions: Int32Array, n: number): void {
  for (let i = 0; i < n; i++) positions[i] = i;
}
