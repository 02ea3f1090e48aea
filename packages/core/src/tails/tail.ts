/**
 * A tail estimate stands in for the keys that were not selected: it adds to the softmax state what they would have
 * added, as well as it can tell.
 */
import type { GroupWork, ThreadRegion } from '../group/group-work.ts';
import type { Encoding } from '../kernels/layout.ts';
import type { Selection } from '../selectors/selector.ts';

export interface TailEstimate {
  /** Bytes of the cache that were read for it. */
  bytesRead: number;
  /** Keys that were read by their codes. */
  keysQuantized: number;
  /**
   * Estimates of ||output - exact output|| (rows), where the tail can tell; undefined where it has none. They promise
   * nothing: their certificate is `estimated`.
   */
  errors?: number[];
  /** A bound on ||output - exact output|| of a single row, where the tail knows one: it holds always. */
  errorBound?: number;
}

export interface Tail {
  readonly name: string;
  /** The planes that it reads beside the exact one. */
  readonly encodings: readonly Encoding[];
  /** Whether it leaves the state alone, so that the output is that of the selected keys. */
  readonly dropsTail: boolean;
  /** Whether it reads the sample of the selection, and goes with selectors that draw one only. */
  readonly requiresSample: boolean;
  /** Adds the keys that are not in `selection` to the state of the query's rows, which lies in `region`. */
  add(work: GroupWork, selection: Selection, region: ThreadRegion): TailEstimate;
}
