/**
 * Rows of attention of a real model, from captures. A capture has the queries of the last positions only, so a shorter
 * context is made from the keys of the long one: its first ones, which heads use as sinks, and the most recent ones up
 * to the query. Distances to the recent keys are then as they were, and nothing comes after the query; but the keys and
 * the query were made by a model that had read all of the text, which in a context that is really shorter it would not.
 */
import type { CapturedHead } from '../captures/captured-head.ts';
import { scoreKeys } from '../numerics/attention.ts';
import { yieldToEventLoop } from '../work.ts';
import { ladder } from './budgets.ts';
import { descending, type Measurement, meanMeasurement, measureRow } from './row.ts';
import type { RowsWork, Source } from './source.ts';

/** First keys that every context keeps. */
export const SINKS = 4;
/** Repetitions that the queries of a head are divided into: blocks of neighbours, which resemble each other. */
const MAX_REPETITIONS = 8;

export interface CaptureOptions extends RowsWork {
  heads: readonly CapturedHead[];
  /** The fewest keys of a context; contexts are halved from the whole down to it. */
  minLength: number;
  /** Takes every Nth query. */
  stride: number;
}

/** A source for each query head. */
export async function captureSources({
  heads,
  minLength,
  stride,
  signal,
  onProgress,
}: CaptureOptions): Promise<Source[]> {
  const sources: Source[] = [];
  const total = heads.reduce((sum, { group }) => sum + group, 0);
  for (const head of heads) {
    // Keys that every one of the queries has before it.
    const lengths = halvesOf(head.n - head.lastQueries + 1, minLength);
    for (let row = 0; row < head.group; row++) {
      const queryIndices = Array.from(
        { length: Math.ceil(head.lastQueries / stride) },
        (_, i) => head.lastQueries - 1 - i * stride,
      ).reverse();
      const count = Math.min(MAX_REPETITIONS, queryIndices.length);
      const blocks = Array.from({ length: count }, (_, block) =>
        queryIndices.filter((_, i) => Math.floor((i * count) / queryIndices.length) === block),
      );
      const repetitions: Measurement[][] = [];
      for (const block of blocks) {
        await yieldToEventLoop(signal);
        const rows = block.map((query) => measureQuery(head, row, query, lengths));
        repetitions.push(
          lengths.map((_, at) => meanMeasurement(rows.map((lengthRows) => lengthRows[at] as Measurement))),
        );
      }
      sources.push({ family: 'capture', name: `${head.name} head ${row}, ${head.n} keys`, lengths, repetitions });
      onProgress(sources.length, total);
    }
  }
  return sources;
}

/** n, and halves of it down to the shortest, ascending. */
function halvesOf(n: number, minLength: number): number[] {
  const lengths = [n];
  while (Math.floor((lengths[0] as number) / 2) >= minLength) lengths.unshift(Math.floor((lengths[0] as number) / 2));
  return lengths;
}

function measureQuery(
  { n, headDim: d, lastQueries, keys, values, queries }: CapturedHead,
  row: number,
  query: number,
  lengths: readonly number[],
): Measurement[] {
  const position = n - lastQueries + query;
  const from = (row * lastQueries + query) * d;
  const scores = scoreKeys(queries.subarray(from, from + d), keys, position + 1);
  const order = descending(scores);
  return lengths.map((length) => {
    const oldest = position - (length - SINKS);
    const contextOrder = order.filter((key) => key < SINKS || key > oldest);
    return measureRow({ scores, scale: 1, order: contextOrder, values, d }, ladder(length));
  });
}
