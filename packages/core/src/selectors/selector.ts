/**
 * A selector chooses the keys that are attended exactly. It writes their positions, ascending and without repeats, into
 * the positions buffer of the query, and says what it learned of the others on the way.
 */
import type { Budget } from '../budgets/budget.ts';
import type { GroupWork, RunningLogSumExp, ThreadRegion } from '../group/group-work.ts';
import type { Encoding } from '../kernels/layout.ts';

export interface Selection {
  /** Keys chosen: so many positions stand in the positions buffer. */
  count: number;
  /**
   * The sum over all keys that the query may see, for each row, where the selector has scored them all exactly (to
   * rounding); undefined where it has not.
   */
  totalSums?: readonly RunningLogSumExp[];
  /** A bound on the sum over the keys that were not chosen, where the selector knows one. Of single rows only. */
  tailBound?: RunningLogSumExp;
  /** A bound on their share of the softmax, rounding included, where the selector knows one. Of single rows only. */
  tailShare?: number;
  /** Keys that any choice would need at least for the budget's tail mass, where the selector can tell. */
  keysNeeded?: number;
  /** Whether bounds on all scores stand in the workspace, as `boundAll` leaves them. Of single rows only. */
  hasScoreBounds?: boolean;
  /** The keys that were drawn beside the chosen ones, where the selector draws a sample. */
  sample?: SieveSample;
  /** Bytes of the cache that were read to choose. */
  bytesScanned: number;
}

/**
 * Keys to be attended by their codes, in the coded list of the home region's workspace, with their log-weights. Where
 * there is a sample, the chosen keys have weights too: their probabilities and the caps stand in the workspace.
 */
export interface SieveSample {
  /**
   * Keys of the three parts of the list, one behind the other: those drawn for certain, and the others dealt out over
   * two halves, so that the difference of the halves tells how far the sample can be trusted.
   */
  parts: readonly [certain: number, oneHalf: number, otherHalf: number];
}

export interface Selector {
  readonly name: string;
  /** The planes that it reads beside the exact one. */
  readonly encodings: readonly Encoding[];
  /** Whether it chooses for each query head on its own, or the same keys for all heads of a group. */
  readonly unit: 'head' | 'group';
  /** Whether the keys that it leaves under a budget of tail mass have at most that mass for certain. */
  readonly certain: boolean;
  /** Keys of the sample for a budget of `keys` of n, where the selector draws one: what tells how long it takes. */
  sampleSize?(keys: number, n: number): number;
  /** How a block of consecutive queries shares a sample. Default: every position selects on its own. */
  readonly blockSampling?: BlockSampling;
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
  /** What `mergeHalfSamples` of the kernels says of each row: (rows, 3). */
  halfSampleErrors: Float32Array;
}

/** The query heads of one position that choose together: `rows` of them from `head` on. */
export type GroupPosition = Pick<GroupWork, 'n' | 'layer' | 'head' | 'rows'>;

/** The most keys that a budget allows the first head of a group; all that it may see where the budget is a tail mass. */
export const maxKeys = (budget: Budget, { n, layer, head }: GroupPosition): number => budget.keys({ n, layer, head });

/** The budget of a group: the largest of its heads'. */
export function groupBudget({ n, layer, head, rows }: GroupPosition, budget: Budget): number {
  let keys = 0;
  for (let row = 0; row < rows; row++) keys = Math.max(keys, budget.keys({ n, layer, head: head + row }));
  return keys;
}

/** Keys that every selector keeps, as attention sinks (arXiv 2309.17453) and nearest neighbours. */
export const SINK_KEYS = 4;
export const KEPT_RECENT_KEYS = 32;

/** Of `count` keys, how many go to the first positions and to the last: with few keys, the last come first. */
export function sinksAndRecent(count: number): { sinks: number; recent: number } {
  const recent = Math.min(KEPT_RECENT_KEYS, Math.ceil(count / 2));
  return { sinks: Math.min(SINK_KEYS, count - recent), recent };
}

/** Writes the positions of `sinks` first keys and `recent` last keys of n, `between` of them left free in the middle. */
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

/** Chooses all n keys. */
export function selectAllKeys(positions: Int32Array, n: number): void {
  for (let i = 0; i < n; i++) positions[i] = i;
}
