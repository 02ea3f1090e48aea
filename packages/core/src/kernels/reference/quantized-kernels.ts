/**
 * The quantized kernels from their definitions in `../quantized-kernels.ts`: scores by dequantized rows in float64, and
 * importance weights that enter a running softmax.
 */

import { FIT_SAMPLE_KEYS, HALF_SAMPLE_NUMBERS, UNDRAWN_SAMPLE_KEYS } from '../constants.ts';
import { exactRow } from '../exact-rows.ts';
import { type Pages, stateOutputs } from '../kernels.ts';
import { PAGE_KEYS, rotatedDim } from '../layout.ts';
import type { QuantizedKernels, ScannedKeys } from '../quantized-kernels.ts';
import { boundedRow, centreOf, dequantizedRow, int4Row, quantizedKey } from '../quantized-rows.ts';
import { inverseRotate, rotate } from '../rotation.ts';
import { floatAbove, floatBelow } from '../rounding.ts';
import { readStruct } from '../structs.ts';
import { at, type Views, viewsOf } from '../views.ts';
import { draw } from './draw.ts';
import { quantizePage } from './quantize.ts';
import { accumulateSoftmax, dot, floatsAt, logSumExpOf, norm } from './rows.ts';
import { scanProduct } from './scan-product.ts';
import { fromScanUnits, INT16_MIN, scaleShare, toScanUnits } from './scan-units.ts';
import { finishSieve, sieve } from './sieve.ts';
import { fitScan, fitScanRows, sampleStride, undrawnSquares } from './undrawn.ts';

/**
 * The rotated query is stored in float32, which rounds each number by half a unit in its last place. The rest of the
 * arithmetic is float64, for which twice that is far more than enough.
 */
const ROUNDING = 2 ** -23;
/** Rounding of a subnormal number of the rotated query: half the smallest float. */
const MIN_FLOAT = 2 ** -149;

export function createReferenceQuantizedKernels(memory: WebAssembly.Memory): QuantizedKernels {
  const views = viewsOf(memory);

  /** Rq of one of the prepared query rows. */
  const rotatedQuery = (quantizedQuery: number, row: number, { headDim }: Pages): Float64Array =>
    floatsAt(views(), quantizedQuery + row * rotatedDim(headDim) * 4, rotatedDim(headDim));

  /** Adds the values of the keys at `indices` to every row of a state of `dimensions` numbers a row. */
  const accumulateRows = (
    indices: number,
    count: number,
    { scores, stride, rows, state, dimensions }: WeightedRows,
    valueAt: (views: Views, position: number) => Float64Array,
  ): void => {
    const values = Array.from(views().i32.subarray(indices / 4, indices / 4 + count), (position) =>
      valueAt(views(), position),
    );
    for (let row = 0; row < rows; row++) {
      const logWeights = floatsAt(views(), scores + row * stride * 4, count);
      const output = stateOutputs(state, rows) + row * dimensions * 4;
      accumulateSoftmax(views(), logWeights, (j) => values[j] as Float64Array, state + 8 * row, output, dimensions);
    }
  };

  return {
    quantizePage: (pages, page) => quantizePage(views(), pages, page),

    dequantizeRows(pages, what, indices, count, destination) {
      const dimensions = rotatedDim(pages.headDim);
      for (let i = 0; i < count; i++) {
        const key = quantizedKey(views(), pages, at(views().i32, indices / 4 + i));
        const row = dequantizedRow(views(), key, what === 'keys' ? 'key' : 'value');
        views().f32.set(row, destination / 4 + i * dimensions);
      }
    },

    rotate(source, rows, headDim, destination) {
      for (let row = 0; row < rows; row++) {
        const x = floatsAt(views(), source + row * headDim * 4, headDim);
        views().f32.set(rotate(x), destination / 4 + row * rotatedDim(headDim));
      }
    },

    inverseRotate(source, rows, headDim, destination) {
      const dimensions = rotatedDim(headDim);
      for (let row = 0; row < rows; row++) {
        const x = floatsAt(views(), source + row * dimensions * 4, dimensions);
        views().f32.set(inverseRotate(x, headDim), destination / 4 + row * headDim);
      }
    },

    quantizeQueries({ headDim }, queries, rows, quantizedQuery, scratch) {
      this.rotate(queries, rows, headDim, quantizedQuery, scratch);
    },

    scanSigns(pages, from, to, { address, rows, centerScores, centerStride }, fractionBits, scans, stride) {
      const { f32, i16 } = views();
      for (let row = 0; row < rows; row++) {
        const query = rotatedQuery(address, row, pages);
        for (let position = from; position < to; position++) {
          const key = quantizedKey(views(), pages, position);
          const base = dot(query, centreOf(views(), key));
          f32[centerScores / 4 + row * centerStride + pageAfter(from, position)] = base;
          i16[scans / 2 + row * stride + position - from] = toScanUnits(
            base + scanProduct(views(), key, query),
            fractionBits,
          );
        }
      }
    },

    scanScores(scores, stride, rows, n, fractionBits, scans, scanStride) {
      const { f32, i16 } = views();
      for (let row = 0; row < rows; row++) {
        const list = Array.from({ length: n }, (_, j) => at(f32, scores / 4 + row * stride + j));
        i16.set(
          list.map((score) => toScanUnits(score, fractionBits)),
          scans / 2 + row * scanStride,
        );
      }
    },

    approximateLogSumExp(scan, n, fractionBits, statistics) {
      const { f32, i16 } = views();
      const list = Array.from(i16.subarray(scan / 2, scan / 2 + n), (score) => fromScanUnits(score, fractionBits));
      const max = list.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      f32.set([max, list.reduce((sum, x) => sum + Math.exp(x - max), 0)], statistics / 4);
    },

    maxOverHeads(scans, stride, rows, n, fractionBits, offsets, proposalExponent, pooled, accumulate) {
      const { f32, i16 } = views();
      for (let j = 0; j < n; j++) {
        let max = accumulate ? at(i16, pooled / 2 + j) : INT16_MIN;
        for (let row = 0; row < rows; row++) {
          const score = at(i16, scans / 2 + row * stride + j);
          max = Math.max(max, scaleShare(score, at(f32, offsets / 4 + row), fractionBits, proposalExponent));
        }
        i16[pooled / 2 + j] = max;
      }
    },

    maxScoresOverHeads(scores, stride, rows, n, offsets, pooled) {
      const { f32 } = views();
      for (let j = 0; j < n; j++) {
        let max = Number.NEGATIVE_INFINITY;
        for (let row = 0; row < rows; row++) {
          max = Math.max(max, at(f32, scores / 4 + row * stride + j) - at(f32, offsets / 4 + row));
        }
        f32[pooled / 4 + j] = max;
      }
    },

    drawKeys({ plan, proposals, fractionBits, indices, logProbabilities, threshold }) {
      const { f32, i16, i32 } = views();
      const drawn = draw(i16.subarray(proposals / 2, proposals / 2 + plan.n), plan, fractionBits);
      i32.set(drawn.positions, indices / 4);
      f32.set(drawn.logProbabilities, logProbabilities / 4);
      f32[threshold / 4] = drawn.threshold;
      return drawn.positions.length;
    },

    scoreQuantized(pages, from, indices, count, { address, rows, centerScores, centerStride }, scores, stride) {
      const { f32, i32 } = views();
      for (let row = 0; row < rows; row++) {
        const query = rotatedQuery(address, row, pages);
        for (let j = 0; j < count; j++) {
          const position = at(i32, indices / 4 + j);
          const base = at(f32, centerScores / 4 + row * centerStride + pageAfter(from, position));
          const y4 = int4Row(views(), quantizedKey(views(), pages, position), 'key');
          f32[scores / 4 + row * stride + j] = base + dot(query, y4);
        }
      }
    },

    boundScores(pages, from, to, quantizedQuery, norms, rows, lower, upper, stride) {
      const { f32 } = views();
      for (let row = 0; row < rows; row++) {
        const query = rotatedQuery(quantizedQuery, row, pages);
        const queryNorm = at(f32, norms / 4 + row);
        for (let position = from; position < to; position++) {
          const key = quantizedKey(views(), pages, position);
          const { y8, error } = boundedRow(views(), key);
          const centre = centreOf(views(), key);
          const score = dot(query, centre) + dot(query, y8);
          const rounding = (ROUNDING * queryNorm + MIN_FLOAT * Math.sqrt(y8.length)) * (norm(centre) + norm(y8));
          const slack = queryNorm * error + rounding;
          const index = row * stride + position - from;
          if (lower !== 0) f32[lower / 4 + index] = floatBelow(score - slack);
          f32[upper / 4 + index] = floatAbove(score + slack);
        }
      }
    },

    scoreSelected(pages, indices, count, queries, rows, scores, stride) {
      const { f32, i32 } = views();
      for (let row = 0; row < rows; row++) {
        const query = floatsAt(views(), queries + row * pages.headDim * 4, pages.headDim);
        for (let j = 0; j < count; j++) {
          const key = exactRow(views(), pages, 'keys', at(i32, indices / 4 + j));
          f32[scores / 4 + row * stride + j] = dot(query, key);
        }
      }
    },

    applyImportanceWeights(scores, stride, rows, count, { logProbabilities, caps }) {
      const { f32 } = views();
      for (let row = 0; row < rows; row++) {
        const cap = at(f32, caps / 4 + row);
        for (let j = 0; j < count; j++) {
          const score = at(f32, scores / 4 + row * stride + j);
          const weighted = Math.min(score - at(f32, logProbabilities / 4 + j), cap);
          f32[scores / 4 + row * stride + j] = Math.max(score, weighted);
        }
      }
    },

    splitSample({ indices, logProbabilities, scores, stride, rows, count }, split) {
      const { f32, i32 } = views();
      const selected = new Set(i32.subarray(split.selected / 4, split.selected / 4 + split.selectedCount));
      const exact: number[] = [];
      const parts: [number[], number[], number[]] = [[], [], []];
      let half: 1 | 2 = 1;
      for (let j = 0; j < count; j++) {
        if (selected.has(j) && at(f32, split.shares / 4 + j) >= split.minShare) exact.push(j);
        else if (at(f32, logProbabilities / 4 + j) === 0) parts[0].push(j);
        else {
          parts[half].push(j);
          half = half === 1 ? 2 : 1;
        }
      }
      const quantized = parts.flat();
      const pick = (list: Int32Array | Float32Array, address: number, which: readonly number[]) =>
        which.map((j) => at(list, address / 4 + j));
      i32.set(pick(i32, indices, quantized), split.quantizedIndices / 4);
      for (let row = 0; row < rows; row++) {
        const target = split.quantizedScores / 4 + row * split.quantizedStride;
        f32.set(pick(f32, scores + row * stride * 4, quantized), target);
      }
      i32.set(pick(i32, indices, exact), indices / 4);
      f32.set(pick(f32, logProbabilities, exact), logProbabilities / 4);
      i32.set(
        parts.map((part) => part.length),
        split.parts / 4,
      );
      return exact.length;
    },

    sumExactSquares(scores, stride, rows, count, logProbabilities, squares) {
      const { f32 } = views();
      const logs = floatsAt(views(), logProbabilities, count);
      for (let row = 0; row < rows; row++) {
        const weights = Array.from(floatsAt(views(), scores + row * stride * 4, count));
        const variance = logSumExpOf(weights.map((weight, j) => 2 * weight + Math.log(-Math.expm1(at(logs, j)))));
        f32.set([variance, logSumExpOf(weights.map((weight, j) => 2 * weight + at(logs, j)))], squares / 4 + 2 * row);
      }
    },

    addValues(pages, indices, count, scores, stride, rows, state) {
      const to = { scores, stride, rows, state, dimensions: pages.headDim };
      accumulateRows(indices, count, to, (memoryViews, position) => exactRow(memoryViews, pages, 'values', position));
    },

    addQuantizedValues(pages, indices, count, scores, stride, rows, state) {
      const to = { scores, stride, rows, state, dimensions: rotatedDim(pages.headDim) };
      accumulateRows(indices, count, to, (memoryViews, position) =>
        int4Row(memoryViews, quantizedKey(memoryViews, pages, position), 'value'),
      );
    },

    mergeHalfSamples(state, firstHalf, secondHalf, rows, headDim, outputs, errors) {
      const { f32 } = views();
      for (let row = 0; row < rows; row++) {
        const parts = [state, firstHalf, secondHalf].map((address) => ({
          score: at(f32, address / 4 + 2 * row),
          sum: at(f32, address / 4 + 2 * row + 1),
          numerator: floatsAt(views(), stateOutputs(address, rows) + row * headDim * 4, headDim),
        })) as [RowPart, RowPart, RowPart];
        const max = Math.max(...parts.map(({ score }) => score));
        const weights = parts.map(({ score }) => Math.exp(score - max)) as [number, number, number];
        const total = parts.reduce((sum, part, i) => sum + part.sum * (weights[i] as number), 0);
        const shareOf = (i: 1 | 2) => (parts[i].sum * weights[i]) / total;
        let [squaredError, squaredNorm] = [0, 0];
        for (let i = 0; i < headDim; i++) {
          const [a, b, c] = parts.map(({ numerator }, j) => (at(numerator, i) * (weights[j] as number)) / total) as [
            number,
            number,
            number,
          ];
          const output = a + b + c;
          squaredError += (b - c - (shareOf(1) - shareOf(2)) * output) ** 2;
          squaredNorm += output ** 2;
          f32[outputs / 4 + row * headDim + i] = output;
        }
        f32.set(
          [shareOf(1) + shareOf(2), squaredError, squaredNorm, shareOf(1) - shareOf(2), max + Math.log(total)],
          errors / 4 + HALF_SAMPLE_NUMBERS * row,
        );
      }
    },

    fitScan(keys, scores, fit) {
      const { looked, ...sample } = scannedSample(views(), keys, FIT_SAMPLE_KEYS);
      const { intercept, slope, deviation } = fitScan({
        ...sample,
        scores: looked.map((j) => at(views().f32, scores / 4 + j)),
      });
      views().f32.set([intercept, slope, deviation], fit / 4);
    },

    fitScanRows({ scans, fractionBits, indices, logProbabilities, count }, scores, stride, rows, fits) {
      const { f32, i16, i32 } = views();
      const listed = Array.from({ length: count }, (_, j) => at(i16, scans / 2 + at(i32, indices / 4 + j)));
      const found = fitScanRows(
        {
          scans: listed.map((scan) => fromScanUnits(scan, fractionBits)),
          logProbabilities: floatsAt(views(), logProbabilities, count),
        },
        Array.from({ length: rows }, (_, row) => floatsAt(views(), scores + row * stride * 4, count)),
      );
      for (const [row, { intercept, slope, deviation }] of found.fits.entries())
        f32.set([intercept, slope, deviation], fits / 4 + 3 * row);
      return found.peaks;
    },

    undrawnSquares(keys, copies, fits, rows, logTotals, squares) {
      const { stride, ...sample } = scannedSample(views(), keys, UNDRAWN_SAMPLE_KEYS);
      for (let row = 0; row < rows; row++) {
        const [intercept, slope, deviation] = floatsAt(views(), fits + row * 12, 3) as unknown as [
          number,
          number,
          number,
        ];
        const logTotal = at(views().f32, logTotals / 4 + row);
        const found = undrawnSquares(sample, copies * stride, { intercept, slope, deviation }, logTotal);
        views().f32[squares / 4 + row] = found;
      }
    },

    sieve: (pages, step, buffers) => sieve(views(), pages, step, readStruct(views(), buffers, 'SieveBuffers')),

    finishSieve: (headDim, rows, states, outputs) => finishSieve(views(), headDim, rows, states, outputs),

    attendGathered(pages, indices, count, biases, queries, rows, state) {
      const positions = views().i32.slice(indices / 4, indices / 4 + count);
      const keys = Array.from(positions, (position) => exactRow(views(), pages, 'keys', position));
      const values = Array.from(positions, (position) => exactRow(views(), pages, 'values', position));
      const bias = floatsAt(views(), biases, count);
      for (let row = 0; row < rows; row++) {
        const query = floatsAt(views(), queries + row * pages.headDim * 4, pages.headDim);
        const scores = keys.map((key, j) => dot(query, key) + at(bias, j));
        const output = stateOutputs(state, rows) + row * pages.headDim * 4;
        accumulateSoftmax(views(), scores, (j) => values[j] as Float64Array, state + 8 * row, output, pages.headDim);
      }
    },
  };
}

/** One row of a softmax state. */
interface RowPart {
  score: number;
  sum: number;
  numerator: Float64Array;
}

/** Log-weights `scores` (rows, stride), and the state to which keys with these weights are added. */
interface WeightedRows {
  scores: number;
  stride: number;
  rows: number;
  state: number;
  dimensions: number;
}

/** Pages from the page of key `from` to that of a position. */
const pageAfter = (from: number, position: number): number =>
  Math.floor(position / PAGE_KEYS) - Math.floor(from / PAGE_KEYS);

/** The drawn keys that are looked at, by their numbers, with their scans and ln pi. */
function scannedSample(
  { i16, i32, f32 }: Views,
  { scans, fractionBits, indices, logProbabilities, count }: ScannedKeys,
  sampleKeys: number,
): { looked: number[]; stride: number; scans: number[]; logProbabilities: number[] } {
  const stride = sampleStride(f32.subarray(logProbabilities / 4, logProbabilities / 4 + count), sampleKeys);
  const looked = Array.from({ length: count }, (_, j) => j).filter((j) => j % stride === stride >> 1);
  return {
    looked,
    stride,
    scans: looked.map((j) => fromScanUnits(at(i16, scans / 2 + at(i32, indices / 4 + j)), fractionBits)),
    logProbabilities: looked.map((j) => at(f32, logProbabilities / 4 + j)),
  };
}
