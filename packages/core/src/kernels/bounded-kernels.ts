/**
 * The kernels of a certified step: which keys have to be read, by upper bounds on all scores, so that what stays unread has
 * at most a share of the softmax; and attention of some rows to scattered keys of which each row reads its own. Buffers
 * are named by byte addresses, as in `kernels.ts`.
 */
import type { Pages } from './layout.ts';

/** Upper bounds on the scores of n keys for some rows, and what is known of each row. */
export interface BoundedRows {
  /** (rows, stride), in nats; the stride leaves room for 8 numbers behind the last key. */
  upper: number;
  stride: number;
  /** At most MAX_MASKED_ROWS. */
  rows: number;
  n: number;
  /**
   * Keys by how far their bounds lie below the row's largest, in bins of 1 / BOUND_BINS_PER_NAT nats: (rows, BOUND_BINS)
   * of int32.
   */
  histograms: number;
  /**
   * (rows, BOUNDED_ROW_NUMBERS):
   *
   * - the largest bound
   * - the threshold: keys whose bounds are at least this have been listed; at first infinite
   * - ln of the sum of e^score over the listed keys, at first -infinity. The caller writes it, rounded down
   * - a bound on the sum of e^score over the other keys, as a multiple of e^(the largest bound)
   * - listed keys of the row, int32
   * - the threshold before the last list
   */
  numbers: number;
}

/** Rows that have a bit each in a mask. */
export const MAX_MASKED_ROWS = 32;

export interface BoundedKernels {
  /** Fills histograms and numbers from the bounds. */
  countBounds(bounded: BoundedRows): void;

  /**
   * Lowers each row's threshold until what lies below it has at most `share` of the softmax, and lists the keys that are
   * new above it: positions `indices`, ascending, and for each a mask with a bit for every row that is to read it (int32
   * each, room for n). Every key counts with the upper end of its bin. Where nothing was listed before, listed keys count
   * with their bounds too, which is too much: listing again with the sum over what was read settles it, and once more
   * never lists a key.
   *
   * Returns the number of keys of the list; -1, and lists nothing, where the rows together would read more than `maxKeys`,
   * or a row's largest bound is not finite. `scratch` has 2 KiB.
   */
  listForMass(
    bounded: BoundedRows,
    share: number,
    maxKeys: number,
    indices: number,
    masks: number,
    scratch: number,
  ): number;

  /** Adds the keys at `indices` (count) to the state of those of `rows` rows whose bit is set in the key's mask. */
  attendMasked(
    pages: Pages,
    indices: number,
    masks: number,
    count: number,
    queries: number,
    rows: number,
    state: number,
    scratch: number,
  ): void;
}
