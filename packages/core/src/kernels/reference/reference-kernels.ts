/**
 * The kernels as the papers have them, in plain TypeScript: the specification that the fast ones are tested against.
 * Arithmetic is float64; only what is stored is rounded to float32 or float16. Softmax is online (Milakov and
 * Gimelshein, arXiv 1805.02867), and its state is float32, which the kernels share.
 */

import { exactRow } from '../exact-rows.ts';
import { float16ToFloat32, float32ToFloat16, MAX_FLOAT16 } from '../float16.ts';
import { type Kernels, type Pages, stateOutputs } from '../kernels.ts';
import { at, viewsOf } from '../views.ts';
import { createReferenceBoundedKernels } from './bounded-kernels.ts';
import { createReferenceQuantizedKernels } from './quantized-kernels.ts';
import { accumulateSoftmax, dot, floatsAt } from './rows.ts';

export function createReferenceKernels(memory: WebAssembly.Memory): Kernels {
  const views = viewsOf(memory);

  const score = (pages: Pages, query: number, position: number): number =>
    dot(floatsAt(views(), query, pages.headDim), exactRow(views(), pages, 'keys', position));

  /** Adds the keys at `positions` to one row's running softmax: statistics (2) and output (d). */
  const attendRow = (
    pages: Pages,
    query: number,
    positions: Iterable<number>,
    statistics: number,
    output: number,
    softCap?: number,
  ): void => {
    const list = [...positions];
    const cap = (s: number) => (softCap === undefined ? s : softCap * Math.tanh(s / softCap));
    const scores = list.map((position) => cap(score(pages, query, position)));
    const valueAt = (index: number) => exactRow(views(), pages, 'values', at(list, index));
    accumulateSoftmax(views(), scores, valueAt, statistics, output, pages.headDim);
  };

  return {
    ...createReferenceQuantizedKernels(memory),
    ...createReferenceBoundedKernels(memory),
    name: 'reference',

    store(source, destination, count, precision) {
      const { f32, u16 } = views();
      for (let i = 0; i < count; i++) {
        const x = at(f32, source / 4 + i);
        if (precision === 'f32') {
          if (!Number.isFinite(x)) return false;
          f32[destination / 4 + i] = x;
        } else {
          const half = float32ToFloat16(x);
          if (!(Math.abs(float16ToFloat32(half)) <= MAX_FLOAT16)) return false;
          u16[destination / 2 + i] = half;
        }
      }
      return true;
    },

    initSoftmaxState(state, rows, headDim) {
      const { f32 } = views();
      for (let row = 0; row < rows; row++) {
        f32[state / 4 + 2 * row] = Number.NEGATIVE_INFINITY;
        f32[state / 4 + 2 * row + 1] = 0;
      }
      const outputs = stateOutputs(state, rows) / 4;
      f32.fill(0, outputs, outputs + rows * headDim);
    },

    attendFull(pages, from, to, { address, rows, group, limit, window = Number.POSITIVE_INFINITY, softCap }, state) {
      for (let row = 0; row < rows; row++) {
        const visible = limit + Math.floor(row / group);
        const start = Math.max(from, visible - window);
        const end = Math.min(to, visible);
        const query = address + row * pages.headDim * 4;
        const output = stateOutputs(state, rows) + row * pages.headDim * 4;
        attendRow(pages, query, range(start, end), state + 8 * row, output, softCap);
      }
    },

    attendSelected(pages, indices, count, query, state) {
      const positions = views().i32.subarray(indices / 4, indices / 4 + count);
      attendRow(pages, query, positions, state, stateOutputs(state, 1));
    },

    scoreKeys(pages, from, to, queries, rows, scores, stride) {
      const { f32 } = views();
      for (let row = 0; row < rows; row++) {
        for (let position = from; position < to; position++) {
          f32[scores / 4 + row * stride + position - from] = score(pages, queries + row * pages.headDim * 4, position);
        }
      }
    },

    selectLargest(scores, n, k, base, indices) {
      const { f32, i32 } = views();
      const all = Array.from({ length: n }, (_, i) => i);
      // Array.prototype.sort is stable: ties go to the earlier key.
      all.sort((a, b) => at(f32, scores / 4 + b) - at(f32, scores / 4 + a));
      const selected = all.slice(0, k).sort((a, b) => a - b);
      i32.set(
        selected.map((i) => base + i),
        indices / 4,
      );
    },

    updateLogSumExp(scores, n, statistics) {
      const { f32 } = views();
      const list = f32.subarray(scores / 4, scores / 4 + n);
      const previousMax = at(f32, statistics / 4);
      const max = list.reduce((a, b) => Math.max(a, b), previousMax);
      if (max === Number.NEGATIVE_INFINITY) return;
      const rescaledSum = at(f32, statistics / 4 + 1) * Math.exp(previousMax - max);
      f32[statistics / 4] = max;
      f32[statistics / 4 + 1] = list.reduce((sum, x) => sum + Math.exp(x - max), rescaledSum);
    },

    scaleQueries(queries, rows, headDim) {
      const { f32 } = views();
      let max = 0;
      for (let row = 0; row < rows; row++) {
        const from = queries / 4 + row * headDim;
        const scaled = f32.subarray(from, from + headDim).map((x) => x / Math.sqrt(headDim));
        f32.set(scaled, from);
        max = Math.max(max, Math.hypot(...scaled));
      }
      return max;
    },

    mergeState(state, other, rows, headDim) {
      const { f32 } = views();
      for (let row = 0; row < rows; row++) {
        const mine = state / 4 + 2 * row;
        const theirs = other / 4 + 2 * row;
        const max = Math.max(at(f32, mine), at(f32, theirs));
        const keep = max === Number.NEGATIVE_INFINITY ? 0 : Math.exp(at(f32, mine) - max);
        const take = max === Number.NEGATIVE_INFINITY ? 0 : Math.exp(at(f32, theirs) - max);
        f32[mine + 1] = at(f32, mine + 1) * keep + at(f32, theirs + 1) * take;
        f32[mine] = max;
        const output = stateOutputs(state, rows) / 4 + row * headDim;
        const added = stateOutputs(other, rows) / 4 + row * headDim;
        for (let i = 0; i < headDim; i++) f32[output + i] = at(f32, output + i) * keep + at(f32, added + i) * take;
      }
    },

    normalize(state, rows, headDim, destination, stride) {
      const { f32 } = views();
      for (let row = 0; row < rows; row++) {
        const sum = at(f32, state / 4 + 2 * row + 1);
        const output = stateOutputs(state, rows) / 4 + row * headDim;
        const to = (destination + row * stride) / 4;
        for (let i = 0; i < headDim; i++) f32[to + i] = at(f32, output + i) / sum;
      }
    },
  };
}

function* range(from: number, to: number): Generator<number> {
  for (let i = from; i < to; i++) yield i;
}
