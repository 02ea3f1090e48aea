/**
 * One position of a GQA group by the sieve, from the eight lines of `sieve/sieve.ts`: the specification of the kernels
 * `sieve` and `finishSieve`. Arithmetic is float64; what the definition rounds is rounded: the scores by signs and the
 * shares of the proposal to int16 units of 2^-fractionBits ln 2, and softmax states to float32.
 */
import { FIT_SAMPLE_KEYS, SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS, UNDRAWN_SAMPLE_KEYS } from '../constants.ts';
import { exactRow } from '../exact-rows.ts';
import { type Pages, stateOutputs } from '../kernels.ts';
import { PAGE_KEYS, rotatedDim } from '../layout.ts';
import type { SieveBuffers, SieveStates, SieveStep } from '../quantized-kernels.ts';
import { centreOf, int4Row, type QuantizedKey, quantizedKey } from '../quantized-rows.ts';
import { inverseRotate, rotate } from '../rotation.ts';
import { at, type Views } from '../views.ts';
import { draw } from './draw.ts';
import { accumulateSoftmax, dot, floatsAt, logSumExpOf, norm } from './rows.ts';
import { scanProduct } from './scan-product.ts';
import { fromScanUnits, INT16_MIN, scaleShare, toScanUnits } from './scan-units.ts';
import { fitScan, sampleStride, undrawnSquares } from './undrawn.ts';

/**
 * Attends with `rows` query rows to n keys, into the states and results of `buffers`. Returns the keys attended
 * exactly.
 */
export function sieve(views: Views, pages: Pages, step: SieveStep, buffers: SieveBuffers): number {
  const { n, rows, fractionBits, plan, proposalExponent, logCap, exact } = step;
  const queries = rowsAt(views, buffers.queries, rows, pages.headDim);
  const rotatedQueries = queries.map((query) => rotate(query));
  const firstUnquantized = n - (n % PAGE_KEYS);
  const exactScore = (row: number, j: number) => dot(at(queries, row), exactRow(views, pages, 'keys', j));
  /** <R q, c> + an estimate of <R q, y>; of the open page, which has no encodings, the exact score. */
  const quantizedScore = (row: number, j: number, estimate: (key: QuantizedKey, query: Float64Array) => number) => {
    if (j >= firstUnquantized) return exactScore(row, j);
    const key = quantizedKey(views, pages, j);
    const query = at(rotatedQueries, row);
    return dot(query, centreOf(views, key)) + estimate(key, query);
  };

  // s1, in units, and L1.
  const signScores = mapRows(rows, (row) =>
    range(n).map((j) =>
      toScanUnits(
        quantizedScore(row, j, (key, query) => scanProduct(views, key, query)),
        fractionBits,
      ),
    ),
  );
  const signLogSums = signScores.map((scores) => logSumExpOf(scores.map((x) => fromScanUnits(x, fractionBits))));

  // g, and the draw.
  const proposals = range(n).map((j) =>
    signScores.reduce(
      (max, scores, row) =>
        Math.max(max, scaleShare(at(scores, j), at(signLogSums, row), fractionBits, proposalExponent)),
      INT16_MIN,
    ),
  );
  const { positions, logProbabilities, threshold } = draw(proposals, plan, fractionBits);
  const sample = range(positions.length);

  // s4, and ln w.
  const caps = signLogSums.map((logSum) => logCap + threshold / proposalExponent + logSum);
  const scores4 = mapRows(rows, (row) =>
    positions.map((j) => quantizedScore(row, j, (key, query) => dot(query, int4Row(views, key, 'key')))),
  );
  const importanceWeight = (row: number, i: number, score: number) =>
    Math.max(score, Math.min(score - at(logProbabilities, i), at(caps, row)));
  const logWeights = scores4.map((scores, row) => scores.map((score, i) => importanceWeight(row, i, score)));

  // The largest shares of the sample are attended exactly, after the sinks, the recent keys and the open page.
  const logTotals = logWeights.map((weights) => logSumExpOf(weights));
  const shareOf = (i: number) => {
    const j = at(positions, i);
    if (j < exact.sinks || j >= exact.recentFrom) return Number.POSITIVE_INFINITY;
    return logWeights.reduce((max, weights, row) => Math.max(max, at(weights, i) - at(logTotals, row)), -Infinity);
  };
  const open = sample.filter((i) => at(positions, i) >= firstUnquantized);
  const shares = new Map(
    sample.filter((i) => at(positions, i) < firstUnquantized).map((i) => [i, shareOf(i)] as const),
  );
  const heaviest = [...shares.keys()]
    .filter((i) => (shares.get(i) as number) >= exact.minLogShare)
    .sort((a, b) => (shares.get(b) as number) - (shares.get(a) as number) || a - b)
    .slice(0, exact.maxKeys);
  const isExact = new Set([...heaviest, ...open]);

  // The others by their 4-bit values: those of probability 1, and the rest dealt into two halves by turns.
  const quantized = sample.filter((i) => !isExact.has(i));
  const certain = quantized.filter((i) => at(logProbabilities, i) === 0);
  const uncertain = quantized.filter((i) => at(logProbabilities, i) !== 0);
  const halves = [0, 1].map((half) => uncertain.filter((_, turn) => turn % 2 === half));

  const exactKeys = sample.filter((i) => isExact.has(i));
  const exactWeight = (row: number, i: number) => importanceWeight(row, i, exactScore(row, at(positions, i)));
  attend(views, buffers.state, rows, pages.headDim, exactKeys, {
    weight: exactWeight,
    value: (i) => exactRow(views, pages, 'values', at(positions, i)),
  });
  const byInt4 = {
    weight: (row: number, i: number) => at(at(logWeights, row), i),
    value: (i: number) => int4Row(views, quantizedKey(views, pages, at(positions, i)), 'value'),
  };
  const parts = [certain, at(halves, 0), at(halves, 1)];
  for (const [p, state] of [buffers.certainState, buffers.firstHalfState, buffers.secondHalfState].entries()) {
    attend(views, state, rows, rotatedDim(pages.headDim), at(parts, p), byInt4);
  }

  views.i32.set([exactKeys.length, ...parts.map((part) => part.length)], buffers.results / 4);
  const fitted = sample.slice(0, sample.length - open.length);
  const lookedAt = (sampleKeys: number) => {
    const stride = sampleStride(
      fitted.map((i) => at(logProbabilities, i)),
      sampleKeys,
    );
    return { stride, keys: fitted.filter((i) => i % stride === stride >> 1) };
  };
  const [forFit, forSquares] = [lookedAt(FIT_SAMPLE_KEYS), lookedAt(UNDRAWN_SAMPLE_KEYS)];
  for (let row = 0; row < rows; row++) {
    const scanned = (keys: readonly number[]) => ({
      scans: keys.map((i) => fromScanUnits(at(at(signScores, row), at(positions, i)), fractionBits)),
      scores: keys.map((i) => at(at(scores4, row), i)),
      logProbabilities: keys.map((i) => at(logProbabilities, i)),
    });
    const fit = fitScan(scanned(forFit.keys));
    const undrawn = undrawnSquares(scanned(forSquares.keys), forSquares.stride, fit, at(logTotals, row));
    const logSquares = (keys: readonly number[]) => logSumExpOf(keys.map((i) => 2 * at(at(logWeights, row), i)));
    const exactSquares = (factorOf: (logProbability: number) => number) =>
      logSumExpOf(exactKeys.map((i) => 2 * exactWeight(row, i) + Math.log(factorOf(at(logProbabilities, i)))));
    views.f32.set(
      [
        logSquares(certain),
        logSquares(uncertain),
        exactSquares((logProbability) => -Math.expm1(logProbability)),
        exactSquares(Math.exp),
        Math.log(undrawn) + 2 * at(logTotals, row),
      ],
      rowResults(buffers.results, row) + FIRST_SQUARES,
    );
  }
  return exactKeys.length;
}

/** Merges the states of a step into outputs (rows, d), sums and errors: see `QuantizedKernels.finishSieve`. */
export function finishSieve(views: Views, headDim: number, rows: number, states: SieveStates, outputs: number): void {
  const dimensions = rotatedDim(headDim);
  for (let row = 0; row < rows; row++) {
    const exact = readRow(views, states.state, rows, headDim, row);
    const [certain, firstHalf, secondHalf] = [states.certainState, states.firstHalfState, states.secondHalfState].map(
      (state) => readRow(views, state, rows, dimensions, row),
    ) as [StateRow, StateRow, StateRow];
    const quantized = [certain, firstHalf, secondHalf];
    const max = Math.max(exact.max, ...quantized.map((part) => part.max));
    const scaled = (part: StateRow) => (part.max === Number.NEGATIVE_INFINITY ? 0 : Math.exp(part.max - max));
    const sum = [exact, ...quantized].reduce((total, part) => total + part.sum * scaled(part), 0);
    const rotatedNumerator = Float64Array.from({ length: dimensions }, (_, i) =>
      quantized.reduce((total, part) => total + at(part.numerator, i) * scaled(part), 0),
    );
    const numerator = inverseRotate(rotatedNumerator, headDim);
    const output = exact.numerator.map((x, i) => (x * scaled(exact) + at(numerator, i)) / sum);
    views.f32.set(output, outputs / 4 + row * headDim);

    // ||(N_A - Z_A o) - (N_B - Z_B o)|| / Z, rotated.
    const rotatedOutput = rotate(output);
    const [a, b] = [scaled(firstHalf), scaled(secondHalf)];
    const massDifference = firstHalf.sum * a - secondHalf.sum * b;
    const distance = norm(
      rotatedOutput.map(
        (x, i) => (at(firstHalf.numerator, i) * a - at(secondHalf.numerator, i) * b - massDifference * x) / sum,
      ),
    );
    const results = rowResults(states.results, row);
    views.f32.set([exact.max, exact.sum, max, sum], results);
    views.f32[results + SIEVE_ROW_RESULTS - 1] = distance;
  }
}

/** Number of the first logarithm among a row's results. */
const FIRST_SQUARES = 4;

const range = (n: number): number[] => Array.from({ length: n }, (_, j) => j);

const mapRows = <T>(rows: number, of: (row: number) => T): T[] => range(rows).map(of);

const rowsAt = (views: Views, address: number, rows: number, width: number): Float64Array[] =>
  mapRows(rows, (row) => floatsAt(views, address + row * width * 4, width));

/** Index among float32 of a row's results. */
const rowResults = (results: number, row: number): number =>
  results / 4 + SIEVE_RESULT_COUNTS + row * SIEVE_ROW_RESULTS;

/** Sets a state of `rows` rows to that of the listed keys. */
function attend(
  views: Views,
  state: number,
  rows: number,
  dimensions: number,
  keys: readonly number[],
  { weight, value }: { weight: (row: number, key: number) => number; value: (key: number) => Float64Array },
): void {
  const values = keys.map(value);
  for (let row = 0; row < rows; row++) {
    const output = stateOutputs(state, rows) + row * dimensions * 4;
    views.f32.set([Number.NEGATIVE_INFINITY, 0], state / 4 + 2 * row);
    views.f32.fill(0, output / 4, output / 4 + dimensions);
    const logWeights = keys.map((key) => weight(row, key));
    accumulateSoftmax(views, logWeights, (i) => at(values, i), state + 8 * row, output, dimensions);
  }
}

/** One row of a softmax state. */
interface StateRow {
  max: number;
  sum: number;
  numerator: Float64Array;
}

const readRow = (views: Views, state: number, rows: number, dimensions: number, row: number): StateRow => ({
  max: at(views.f32, state / 4 + 2 * row),
  sum: at(views.f32, state / 4 + 2 * row + 1),
  numerator: floatsAt(views, stateOutputs(state, rows) + row * dimensions * 4, dimensions),
});
