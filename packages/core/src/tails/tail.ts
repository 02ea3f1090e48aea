/**
 * A tail estimate stands in for the keys that were not selected: it adds to the softmax state what they would have
 * added, as well as it can tell.
 */
import type { HeadQuery, ThreadRegion } from '../cache/head-query.ts';
import type { Selection } from '../selectors/selector.ts';

export interface TailEstimate {
  /** Bytes of the cache that were read for it. */
  bytesRead: number;
}

export interface Tail {
  readonly name: string;
  /** Whether it leaves the state alone, so that the output is that of the selected keys. */
  readonly drops: boolean;
  /** Adds the keys that are not in `selection` to the state of one row, which lies in `region`. */
  add(query: HeadQuery, selection: Selection, region: ThreadRegion): TailEstimate;
}
