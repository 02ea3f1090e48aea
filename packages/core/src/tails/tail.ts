/**
 * A tail estimate stands in for the unselected keys: it adds an estimate of what they would have added to the softmax
 * state.
 */
import type { ErrorEstimate } from '../group/estimates.ts';
import type { GroupWork, ThreadRegion } from '../group/group-work.ts';
import type { Encoding } from '../kernels/layout.ts';
import type { Selection } from '../selectors/selector.ts';

export interface TailEstimate {
  /** Bytes of the cache that were read. */
  bytesRead: number;
  /** Keys that were read quantized. */
  keysQuantized: number;
  /**
   * Estimates of the outputs' errors (rows), if the tail has any. They guarantee nothing: certificates that rest on them
   * are `estimated`.
   */
  errors?: ErrorEstimate[];
  /** Upper bound on ||output - exact output|| of a single row, if the tail knows one. It always holds. */
  errorBound?: number;
}

export interface Tail {
  readonly name: string;
  /** Encodings that it reads, beside the exact rows. */
  readonly encodings: readonly Encoding[];
  /** Whether it leaves the state alone, so that the output is that of the selected keys. */
  readonly dropsTail: boolean;
  /** Whether it reads the selection's sample, so that it only goes with selectors that draw one. */
  readonly requiresSample: boolean;
  /** Adds the unselected keys to the softmax state of the work's rows, which is in `region`. */
  add(work: GroupWork, selection: Selection, region: ThreadRegion): TailEstimate;
}
