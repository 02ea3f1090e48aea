/** The kernels of a certified step from their definitions, in float64. */
import type { BoundedKernels, BoundedRows } from '../bounded-kernels.ts';
import { BOUND_BINS, BOUND_BINS_PER_NAT, BOUNDED_ROW_NUMBERS } from '../constants.ts';
import { exactRow } from '../exact-rows.ts';
import { stateOutputs } from '../kernels.ts';
import { floatAbove } from '../rounding.ts';
import { at, type Views, viewsOf } from '../views.ts';
import { accumulateSoftmax, dot, floatsAt } from './rows.ts';

/** Of a row: where its bounds, its bins and its numbers begin, in numbers. */
interface BoundedRow {
  upper: number;
  bins: number;
  numbers: number;
}

const rowOf = ({ upper, stride, histograms, numbers }: BoundedRows, row: number): BoundedRow => ({
  upper: upper / 4 + row * stride,
  bins: histograms / 4 + row * BOUND_BINS,
  numbers: numbers / 4 + row * BOUNDED_ROW_NUMBERS,
});

export function createReferenceBoundedKernels(memory: WebAssembly.Memory): BoundedKernels {
  const views = viewsOf(memory);
  return {
    countBounds(bounded) {
      const { f32, i32 } = views();
      for (let r = 0; r < bounded.rows; r++) {
        const { upper, bins, numbers } = rowOf(bounded, r);
        const bounds = f32.subarray(upper, upper + bounded.n);
        const max = bounds.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
        f32.set([max, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY], numbers);
        i32[numbers + 4] = 0;
        f32[numbers + 5] = Number.POSITIVE_INFINITY;
        i32.fill(0, bins, bins + BOUND_BINS);
        if (!Number.isFinite(max)) continue;
        for (const bound of bounds) {
          const bin = Math.min(BOUND_BINS - 1, Math.floor((max - bound) * BOUND_BINS_PER_NAT));
          i32[bins + bin] = at(i32, bins + bin) + 1;
        }
      }
    },

    listForMass(bounded, share, maxKeys, indices, masks) {
      const { f32, i32 } = views();
      const rows = Array.from({ length: bounded.rows }, (_, r) => rowOf(bounded, r));
      if (!rows.every(({ numbers }) => Number.isFinite(at(f32, numbers)))) return -1;
      const keys = rows.map((row) => lowerThreshold(views(), row, share)).reduce((a, b) => a + b, 0);
      if (keys > maxKeys) return -1;
      let count = 0;
      for (let position = 0; position < bounded.n; position++) {
        let mask = 0;
        for (const [r, { upper, numbers }] of rows.entries()) {
          const bound = at(f32, upper + position);
          if (bound < at(f32, numbers + 1) || bound >= at(f32, numbers + 5)) continue;
          mask |= 1 << r;
          i32[numbers + 4] = at(i32, numbers + 4) + 1;
        }
        if (mask === 0) continue;
        i32[indices / 4 + count] = position;
        i32[masks / 4 + count] = mask;
        count++;
      }
      return count;
    },

    attendMasked(pages, indices, masks, count, queries, rows, state) {
      const { i32 } = views();
      for (let r = 0; r < rows; r++) {
        const seen = Array.from({ length: count }, (_, j) => j).filter((j) => (at(i32, masks / 4 + j) >> r) & 1);
        const positions = seen.map((j) => at(i32, indices / 4 + j));
        const query = floatsAt(views(), queries + r * pages.headDim * 4, pages.headDim);
        const scores = positions.map((position) => dot(query, exactRow(views(), pages, 'keys', position)));
        const output = stateOutputs(state, rows) + r * pages.headDim * 4;
        const valueAt = (j: number) => exactRow(views(), pages, 'values', at(positions, j));
        accumulateSoftmax(views(), scores, valueAt, state + 8 * r, output, pages.headDim);
      }
    },
  };
}

/** Lowers the threshold of a row, and says what it leaves unread. Returns how many keys it reads then. */
function lowerThreshold({ f32, i32 }: Views, { bins, numbers }: BoundedRow, share: number): number {
  const max = at(f32, numbers);
  const logRead = at(f32, numbers + 2);
  const massOf = (bin: number) => at(i32, bins + bin) * Math.exp(-bin / BOUND_BINS_PER_NAT);
  let total = 0;
  for (let bin = 0; bin < BOUND_BINS; bin++) total += massOf(bin);
  const allowed =
    logRead === Number.NEGATIVE_INFINITY ? share * total : (share / (1 - share)) * Math.exp(logRead - max);
  let end = BOUND_BINS;
  let unread = 0;
  for (; end > 0 && unread + massOf(end - 1) <= allowed; end--) unread += massOf(end - 1);
  f32[numbers + 5] = at(f32, numbers + 1);
  // What is borderline is read.
  const margin = (Math.abs(max) + BOUND_BINS / BOUND_BINS_PER_NAT) * 2 ** -22;
  const threshold =
    end === BOUND_BINS ? Number.NEGATIVE_INFINITY : Math.fround(max - end / BOUND_BINS_PER_NAT - margin);
  if (!(threshold < at(f32, numbers + 1))) return at(i32, numbers + 4);
  f32[numbers + 1] = threshold;
  f32[numbers + 3] = floatAbove(unread * (1 + 1e-9));
  return i32.subarray(bins, bins + end).reduce((a, b) => a + b, 0);
}
