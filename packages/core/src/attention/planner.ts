/**
 * How the attention of some queries is done: in full or by a policy, in which tasks. Whether full attention is faster is
 * asked here, once for a layer and a step.
 */
import type { Segment } from '../cache/page-list.ts';
import { stateBytes } from '../kernels/kernels.ts';
import { PAGE_KEYS, type Precision } from '../kernels/layout.ts';
import type { DenseFallback, SparseParts } from '../policies/policy.ts';
import { groupBudget } from '../selectors/selector.ts';
import { MAX_SPLIT_SAMPLE_FRACTION, MIN_PART_KEYS, PART_OVERHEAD } from '../sieve/constants.ts';
import { blockSizeOf } from './block-size.ts';
import type { JobPlan } from './job.ts';
import { readsAllKeys, type ScoreRule } from './score-rule.ts';
import { splitPartBytes } from './split-part-bytes.ts';

/** What all jobs of an attention have in common. */
export interface AttentionShape {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  readonly precision: Precision;
  /** Threads that jobs are cut for. */
  readonly threads: number;
  readonly rule: ScoreRule;
}

/** A policy on this machine. */
export interface PlannedPolicy {
  /** Undefined where every key is read. */
  readonly sparse: SparseParts | undefined;
  /** When full attention is faster; undefined where that is never asked. */
  readonly fallback: DenseFallback | undefined;
  /** Share of its keys from which on a row that has to be certified reads all of them; undefined where costs are not known. */
  readonly maxReadShare: number | undefined;
}

/** Consecutive queries of one layer. */
export interface PlannedQueries {
  readonly layer: number;
  /** Position of the first query. */
  readonly position: number;
  readonly count: number;
  /** Whether blocks of them may share a sample. */
  readonly shareSamples: boolean;
  /** Whether the first query of a key-value head's group may have to read every key in the end: see `Selector.doubt`. */
  mayReadMore(keyValueHead: number): boolean;
}

export interface AttentionPlan extends JobPlan {
  /** Whether every query reads every key. */
  readonly isFull: boolean;
  /** Bytes of the states that are merged once all tasks are done. */
  readonly partialBytes: number;
}

/** Queries that are worth a sample of their own. */
const MIN_QUERIES_TO_SHARE_SAMPLE = 16;

export function planAttention(
  shape: AttentionShape,
  { sparse, fallback }: PlannedPolicy,
  queries: PlannedQueries,
  segments: readonly Segment[],
): AttentionPlan {
  if (sparse === undefined || readsAllKeys(shape.rule)) return planFull(shape, queries);
  const { count } = queries;
  // The queries of a prompt ask for themselves, but where each of them is to be certified: then one answer does for all.
  const asks = fallback !== undefined && (count === 1 || sparse.certified !== undefined);
  const fullUnits = asks ? fullUnitsOf(shape, sparse, fallback, queries) : [];
  if (fullUnits.length > 0 && !fullUnits.includes(0)) return planFull(shape, queries);
  if (queries.shareSamples && count >= MIN_QUERIES_TO_SHARE_SAMPLE && sparse.selector.blockSampling !== undefined) {
    return { ...unsplit('prefill-blocks', shape, queries), fullUnits: [], isFull: false, partialBytes: 0 };
  }
  if (count > 1) return { ...unsplit('decode-groups', shape, queries), fullUnits: [], isFull: false, partialBytes: 0 };
  return (
    planSplitDecode(shape, sparse, queries, fullUnits, segments) ?? {
      ...unsplit('decode-groups', shape, queries),
      fullUnits,
      isFull: false,
      partialBytes: 0,
    }
  );
}

/** How a job that measures queries is cut. */
export const planMeasurement = (
  shape: AttentionShape,
  queries: Pick<PlannedQueries, 'layer' | 'position' | 'count'>,
): JobPlan => ({
  ...unsplit('measure', shape, queries),
  fullUnits: [],
});

function planFull(shape: AttentionShape, queries: PlannedQueries): AttentionPlan {
  if (queries.count > 1 || shape.threads === 1) {
    return { ...unsplit('full-blocks', shape, queries), fullUnits: [], isFull: true, partialBytes: 0 };
  }
  const { heads, keyValueHeads, headDim, rule } = shape;
  const firstKey = firstKeySeen(queries.position, rule);
  const seen = queries.position + 1 - firstKey;
  const plan = { ...unsplit('full-ranges', shape, { position: seen - 1, count: 1 }), firstKey };
  const ranges = keyValueHeads * Math.ceil(seen / plan.blockSize);
  return { ...plan, fullUnits: [], isFull: true, partialBytes: ranges * stateBytes(heads / keyValueHeads, headDim) };
}

/** The first key of the first page of which the query at a position sees any. */
const firstKeySeen = (position: number, { window = position + 1 }: ScoreRule): number =>
  Math.floor(Math.max(0, position + 1 - window) / PAGE_KEYS) * PAGE_KEYS;

const unsplit = (
  kind: Exclude<JobPlan['kind'], 'decode-split'>,
  shape: AttentionShape,
  { position, count }: Pick<PlannedQueries, 'position' | 'count'>,
) => ({ kind, blockSize: blockSizeOf(kind, shape, position, count), firstKey: 0, unsplitGroups: 0 });

/** For each GQA group, or head where heads select on their own: 1 where full attention is faster for the last query. */
function fullUnitsOf(
  { heads, keyValueHeads }: AttentionShape,
  { unit }: SparseParts,
  isFaster: DenseFallback,
  { layer, position, count }: PlannedQueries,
): number[] {
  const rows = unit === 'group' ? heads / keyValueHeads : 1;
  const fullUnits: number[] = [];
  for (let head = 0; head < heads; head += rows) {
    fullUnits.push(isFaster({ n: position + count, layer, head, rows }) ? 1 : 0);
  }
  return fullUnits;
}

/**
 * The plan of one position with some of its groups in parts. Undefined where no group is to be split, or cannot be: where
 * a policy has no parts, keys lie in several regions or are stored in int8 alone, or a group reads most or all of its keys.
 */
function planSplitDecode(
  { heads, keyValueHeads, headDim, precision, threads }: AttentionShape,
  policy: SparseParts,
  { layer, position, mayReadMore }: PlannedQueries,
  fullUnits: readonly number[],
  segments: readonly Segment[],
): AttentionPlan | undefined {
  const n = position + 1;
  const groupSize = heads / keyValueHeads;
  const partBytes = splitPartBytes(policy, groupSize, headDim);
  if (partBytes === undefined || threads === 1 || segments.length > 1 || precision === 'int8') return undefined;
  const split = planSplit(keyValueHeads, threads, n);
  if (split === undefined) return undefined;
  const { budget, certified, selector } = policy;
  for (let group = split.unsplitGroups; group < keyValueHeads; group++) {
    if (fullUnits[group] === 1) return undefined;
    // What has to be read for a certificate is not known yet.
    if (certified !== undefined) continue;
    const keys = groupBudget({ n, layer, head: group * groupSize, rows: groupSize }, budget);
    const sampleKeys = selector.sampleSize?.(keys, n) ?? n;
    if (sampleKeys > MAX_SPLIT_SAMPLE_FRACTION * n || mayReadMore(group)) return undefined;
  }
  const { unsplitGroups, parts } = split;
  const partialBytes = (keyValueHeads - unsplitGroups) * parts * partBytes;
  return { kind: 'decode-split', blockSize: parts, firstKey: 0, unsplitGroups, fullUnits, isFull: false, partialBytes };
}

/** How the groups of a position are divided among threads. */
export interface GroupSplit {
  /** Groups that are done whole: the first ones. */
  unsplitGroups: number;
  /** Parts of each of the others. */
  parts: number;
}

/** The split of `groups` steps over n keys that ends first; undefined where splitting none does. */
export function planSplit(groups: number, threads: number, n: number): GroupSplit | undefined {
  const unsplitGroups = groups - (groups % threads);
  const splitGroups = groups - unsplitGroups;
  const timeOf = (parts: number) =>
    Math.ceil((splitGroups * parts) / threads) * (1 / parts + (parts > 1 ? PART_OVERHEAD : 0));
  let best = 1;
  for (let parts = 2; parts <= threads && parts * MIN_PART_KEYS <= n; parts++) {
    if (timeOf(parts) < timeOf(best)) best = parts;
  }
  return splitGroups === 0 || best === 1 ? undefined : { unsplitGroups, parts: best };
}
