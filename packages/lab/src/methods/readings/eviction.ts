/**
 * What evicting keys costs on captured heads. The prompt ends 96 tokens before the end; its last 32 queries are the window
 * that may be looked at, the 96 after it are tested. A cache keeps some keys of the prompt, the same for all query
 * heads that share them, and everything that comes after it; what is evicted is gone, or something stands for it.
 */
import type { CapturedHead } from '../../captures/captured-head.ts';
import { relativeError } from '../../numerics/attention.ts';
import { mean } from '../../numerics/statistics.ts';
import { type HeadFigure, type Point, type Study, short, type Table } from '../method.ts';
import { addScaled, at, createRandom, descending, invalid, type Random } from '../numbers.ts';
import { outputOf, type ScoredRow, scoredRow } from './rows.ts';

export const TESTED = 96;
export const WINDOW = 32;
/** First keys, which heads use as sinks: kept whatever they are worth. */
const SINKS = 4;
/** Keys of the prompt that are kept. */
export const KEPT = [256, 512, 1024] as const;

/** A tested query of one head. */
export interface TestedRow extends ScoredRow {
  /** Query head of the group. */
  head: number;
  /** (d) */
  output: Float64Array;
}

export interface EvictionHead {
  name: string;
  d: number;
  group: number;
  /** Keys of the prompt. */
  prompt: number;
  /** (n, d) each */
  keys: Float64Array;
  values: Float64Array;
  rows: TestedRow[];
  /** Queries / sqrt(d) of the window: (group x WINDOW, d), head by head. */
  window: Float64Array;
  /** Attention (prompt) that the window paid to each key, summed over its queries and the heads. */
  votes: Float64Array;
}

/** Numerator (d) and denominator of the softmax over what stands for evicted keys, in units of e^largest. */
export interface Remains {
  numerator: Float64Array;
  denominator: number;
}

export type RemainsOf = (row: TestedRow) => Remains;

/** Scores, softmax and outputs of a head's tested queries. `every` takes every Nth. */
export function evictionHead(captured: CapturedHead, every = 1): EvictionHead {
  const { name, headDim: d, n, group, lastQueries: last } = captured;
  const keys = Float64Array.from(captured.keys);
  const values = Float64Array.from(captured.values);
  const prompt = n - TESTED;
  const rows: TestedRow[] = [];
  const votes = new Float64Array(prompt);
  const window = new Float64Array(group * WINDOW * d);
  for (let head = 0; head < group; head++) {
    for (let i = last - TESTED; i < last; i += every) {
      const row = scoredRow(captured, keys, head, i);
      rows.push({ ...row, head, output: outputOf(row, values) });
    }
    for (let i = 0; i < WINDOW; i++) {
      const { query, scores, largest, total } = scoredRow(captured, keys, head, last - TESTED - WINDOW + i);
      window.set(query, (head * WINDOW + i) * d);
      for (const [j, score] of scores.entries()) votes[j] = at(votes, j) + Math.exp(score - largest) / total;
    }
  }
  return { name, d, group, prompt, keys, values, rows, window, votes };
}

/** ||o' - o|| / ||o|| of every row, when `kept` keys of the prompt are left, and what stands for the others. */
export function evictionErrors(head: EvictionHead, kept: Uint32Array, remainsOf?: RemainsOf): Float64Array {
  const { d, prompt, values } = head;
  return Float64Array.from(head.rows, (row) => {
    const approximate = new Float64Array(d);
    let total = 0;
    const take = (j: number) => {
      const weight = Math.exp(at(row.scores, j) - row.largest);
      total += weight;
      addScaled(approximate, 0, weight, values, j * d, d);
    };
    for (const j of kept) take(j);
    for (let j = prompt; j < row.scores.length; j++) take(j);
    if (remainsOf !== undefined) {
      const { numerator, denominator } = remainsOf(row);
      addScaled(approximate, 0, 1, numerator, 0, d);
      total += denominator;
    }
    return relativeError(
      approximate.map((x) => x / total),
      row.output,
    );
  });
}

/** The mean error of each query head. */
export function errorsByHead(head: EvictionHead, errors: Float64Array): HeadFigure[] {
  return Array.from({ length: head.group }, (_, query) => ({
    head: `${head.name} head ${query}`,
    value: mean([...errors].filter((_, i) => head.rows[i]?.head === query)),
  }));
}

/** The first keys and the window, and of the keys between them those that are worth most. */
export function keepMost({ prompt }: EvictionHead, worth: ArrayLike<number>, count: number): Uint32Array {
  const pinned = (j: number) => j < SINKS || j >= prompt - WINDOW;
  const order = descending(
    Float64Array.from({ length: prompt }, (_, j) => (pinned(j) ? Number.POSITIVE_INFINITY : at(worth, j))),
  );
  return order.slice(0, count).sort();
}

/** SnapKV's worth of keys: the largest vote within three keys. */
export function snapkvWorth({ votes, prompt }: EvictionHead): Float64Array {
  const before = prompt - WINDOW;
  return votes.map((vote, j) => {
    if (j >= before) return vote;
    let most = 0;
    for (let i = Math.max(0, j - 3); i <= Math.min(before - 1, j + 3); i++) most = Math.max(most, at(votes, i));
    return most;
  });
}

/** The mean error over all rows of all heads, for every count of kept keys: one point each. */
export function evictionPoints(
  heads: readonly EvictionHead[],
  name: string,
  counts: readonly number[],
  keep: (head: EvictionHead, count: number) => Uint32Array,
): Point[] {
  return counts.map((count) => {
    const errors = heads.map((head) => mean(evictionErrors(head, keep(head, count))));
    return { name, cost: count, error: mean(errors) };
  });
}

/** Takes every third tested query: neighbours resemble each other. */
const EVERY = 3;

const prepared = new WeakMap<readonly CapturedHead[], EvictionHead[]>();

/** The heads of a study, made once. Throws `invalid-argument` where captures have too few queries. */
export function evictionHeads({ heads }: Study): EvictionHead[] {
  const cached = prepared.get(heads);
  if (cached !== undefined) return cached;
  const tooShort = heads.find(({ lastQueries }) => lastQueries < TESTED + WINDOW);
  if (heads.length === 0 || tooShort !== undefined) {
    const approximate = tooShort === undefined ? 'no heads' : `${tooShort.lastQueries} of ${tooShort.name}`;
    throw invalid('Captures have too few queries for a reading.', approximate, `Capture ${TESTED + WINDOW} a head.`);
  }
  const made = heads.map((head) => evictionHead(head, EVERY));
  prepared.set(heads, made);
  return made;
}

/** What methods on the axis of memory are compared with. */
export const snapkvReference = (study: Study): { name: string; points: Point[] } => ({
  name: 'SnapKV',
  points: evictionPoints(evictionHeads(study), 'SnapKV', [128, 256, 512, 1024, 2048], keepSnapkv),
});

export const keepSnapkv = (head: EvictionHead, count: number): Uint32Array => keepMost(head, snapkvWorth(head), count);

/** The first keys and the last ones. */
export const keepLast = (head: EvictionHead, count: number): Uint32Array =>
  keepMost(
    head,
    Float64Array.from({ length: head.prompt }, (_, j) => j),
    count,
  );

/** Drawn anew for every head and count. */
export const keepRandom =
  (random: Random) =>
  (head: EvictionHead, count: number): Uint32Array =>
    keepMost(
      head,
      Float64Array.from({ length: head.prompt }, () => random.uniform()),
      count,
    );

/** Window, and keys drawn at random: points to compare with. */
export const plainPoints = (study: Study): Point[] => [
  ...evictionPoints(evictionHeads(study), 'window', KEPT, keepLast),
  ...evictionPoints(evictionHeads(study), 'random', KEPT, keepRandom(createRandom(study.seed))),
];

/** One row a name, its errors by the keys that were kept. */
export function errorTable(caption: string, points: readonly Point[]): Table {
  const counts = [...new Set(points.map(({ cost }) => cost))].sort((a, b) => a - b);
  const names = [...new Set(points.map(({ name }) => name))];
  const cell = (name: string, count: number) => {
    const point = points.find((candidate) => candidate.name === name && candidate.cost === count);
    return point === undefined ? '' : short(point.error);
  };
  return {
    caption,
    columns: ['', ...counts.map(String)],
    rows: names.map((name) => [name, ...counts.map((count) => cell(name, count))]),
  };
}
