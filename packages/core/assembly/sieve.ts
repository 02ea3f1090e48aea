/**
 * One position of a GQA group by the sieve in one call, for keys that all lie in this memory, and a second call to finish
 * it: `src/kernels/reference/sieve.ts` specifies both. A step has a dozen kernels of some microseconds each; calls and
 * views from TypeScript between them would take as long again.
 */
import { addQuantizedValues } from './quantized-values';
import { scoreQuantized } from './quantized-scores';
import { scoreKeys } from './decode';
import { drawKeys } from './draw';
import { exponential, exponential1, sumLanes } from './exponential';
import { KeyDraw, Pages, SampleSplit, SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS, SieveBuffers, SieveStates, SieveStep } from './generated';
import { logarithm } from './logarithm';
import { PAGE_KEYS } from './pages';
import { approximateLogSumExp, maxOverHeads, maxScoresOverHeads } from './pool';
import { rotatedDim, rotate, inverseRotate } from './rotate';
import { quantizeQueries } from './prepared-queries';
import { scanSigns } from './scan';
import { scanScores } from './scan-parts';
import { selectLargest } from './select';
import { normalize, mergeState, initSoftmaxState, stateOutput } from './softmax';
import { splitSample } from './split';
import { fitScan, undrawnSquares } from './undrawn';
import { updateLogSumExp } from './log-sum-exp';
import { addValues, scoreSelected, applyImportanceWeights } from './weighted';

// Offsets of a row's results in bytes: see `SieveStates.results`.
const CERTAIN_SQUARES: usize = 16;
const HALF_SQUARES: usize = 20;
const EXACT_SQUARES: usize = 24;
const UNDRAWN_SQUARES: usize = 32;
const HALF_DISTANCE: usize = 36;
/** Where a step keeps the fit of its scan until the squares take its place. */
const FIT: usize = 16;

/** See `QuantizedKernels.sieve`. Returns how many keys were attended exactly. */
export function sieve(pages: Pages, step: SieveStep, buffers: SieveBuffers): i32 {
  const d = pages.headDim;
  const n = step.n;
  const rows = step.rows;
  const fractionBits = step.fractionBits;
  const proposalExponent = step.proposalExponent;
  const stride = step.scoreStride;
  const scanStride = step.scanStride;
  const queries = buffers.queries;
  const quantizedQuery = buffers.quantizedQuery;
  const bases = buffers.centerScores;
  const scans = buffers.signScores;
  const scores = buffers.scores;
  const statistics = buffers.softmaxStatistics;
  const offsets = buffers.offsets;
  const caps = buffers.logWeightCaps;
  const pooled = buffers.pooled;
  const indices = buffers.indices;
  const logs = buffers.logProbabilities;
  const quantizedIndices = buffers.quantizedIndices;
  const quantizedScores = buffers.quantizedScores;
  const parts = buffers.sampleParts;
  const state = buffers.state;
  const scratch = buffers.scratch;
  const results = buffers.results;
  // The blocks of kernels that take one lie behind the step's own.
  const draw = changetype<KeyDraw>(changetype<usize>(step) + offsetof<SieveStep>());
  const split = changetype<SampleSplit>(changetype<usize>(draw) + offsetof<KeyDraw>());
  const open = n & (PAGE_KEYS - 1);
  const firstUnquantized = n - open;
  const centers = firstUnquantized / PAGE_KEYS;
  const rowBytes = <usize>stride << 2;

  // All keys by their signs, those of the open page exactly.
  quantizeQueries(pages, queries, rows, quantizedQuery, scratch);
  scanSigns(pages, 0, firstUnquantized, quantizedQuery, rows, fractionBits, scans, scanStride, bases, centers);
  if (open > 0) {
    const exactScores = scores + (<usize>firstUnquantized << 2);
    scoreKeys(pages, firstUnquantized, n, queries, rows, exactScores, stride, scratch);
    scanScores(exactScores, stride, rows, open, fractionBits, scans + (<usize>firstUnquantized << 1), scanStride);
  }
  for (let r = 0; r < rows; r++) {
    approximateLogSumExp(scans + (<usize>(r * scanStride) << 1), n, fractionBits, statistics);
    store<f32>(offsets + (<usize>r << 2), logSumExp(statistics));
  }

  // The sample, and its importance weights by 4-bit keys.
  maxOverHeads(scans, scanStride, rows, n, fractionBits, offsets, proposalExponent, pooled, false);
  draw.n = n;
  draw.sinks = step.sinks;
  draw.recentFrom = step.recentFrom;
  draw.maxKeys = step.maxKeys;
  draw.seed = step.seed;
  draw.fractionBits = fractionBits;
  draw.proposals = pooled;
  draw.tables = buffers.drawTables;
  draw.indices = indices;
  draw.logProbabilities = logs;
  draw.threshold = buffers.threshold;
  draw.keyBlocks = buffers.drawBlocks;
  draw.scratch = scratch;
  const drawn = drawKeys(draw);
  const quantized = drawn - open;
  scoreQuantized(pages, 0, indices, quantized, quantizedQuery, rows, scores, stride, bases, centers);
  const firstRowResults = results + (SIEVE_RESULT_COUNTS << 2);
  for (let r = 0; r < rows; r++) {
    const scan = scans + (<usize>(r * scanStride) << 1);
    const fit = firstRowResults + (<usize>(r * SIEVE_ROW_RESULTS) << 2) + FIT;
    fitScan(scan, fractionBits, indices, logs, quantized, scores + <usize>r * rowBytes, fit);
  }
  for (let r = 0; r < rows; r++) {
    const cap = step.logCap + load<f32>(buffers.threshold) / proposalExponent + load<f32>(offsets + (<usize>r << 2));
    store<f32>(caps + (<usize>r << 2), cap);
  }
  applyImportanceWeights(scores, stride, rows, quantized, logs, caps);

  // The largest shares of it are attended exactly, with the sinks, the recent keys and the open page.
  for (let r = 0; r < rows; r++) {
    const row = scores + <usize>r * rowBytes;
    initLogSumExp(statistics);
    updateLogSumExp(row, quantized, statistics);
    updateLogSumExp(row + (<usize>firstUnquantized << 2), open, statistics);
    const total = logSumExp(statistics);
    store<f32>(offsets + (<usize>r << 2), total);
    const scan = scans + (<usize>(r * scanStride) << 1);
    const result = firstRowResults + (<usize>(r * SIEVE_ROW_RESULTS) << 2);
    const squares = result + UNDRAWN_SQUARES;
    const sum = offsets + (<usize>r << 2);
    undrawnSquares(scan, fractionBits, indices, logs, quantized, 1.0, result + FIT, 1, sum, squares, scratch);
    store<f32>(squares, logOfSquares(load<f32>(squares), total));
  }
  maxScoresOverHeads(scores, stride, rows, quantized, offsets, pooled);
  includeEnds(pooled, indices, quantized, step.exactSinks, step.exactRecentFrom);
  // Usually fewer keys are heavy enough than may be selected, and then they are the largest.
  let selected = listHeavy(pooled, quantized, step.minLogShare, quantizedIndices);
  if (selected > step.maxExactKeys) {
    selected = step.maxExactKeys;
    selectLargest(pooled, quantized, selected, 0, quantizedIndices, scratch);
  }
  split.indices = indices;
  split.logProbabilities = logs;
  split.scores = scores;
  split.stride = stride;
  split.rows = rows;
  split.count = quantized;
  split.shares = pooled;
  split.selected = quantizedIndices;
  split.selectedCount = selected;
  split.minShare = step.minLogShare;
  split.quantizedIndices = quantizedIndices;
  split.quantizedScores = quantizedScores;
  split.quantizedStride = stride;
  split.parts = parts;
  let exact = splitSample(split);
  for (let i = 0; i < open; i++) {
    store<i32>(indices + (<usize>exact << 2), firstUnquantized + i);
    store<f32>(logs + (<usize>exact << 2), 0.0);
    exact++;
  }
  initSoftmaxState(state, rows, d);
  scoreSelected(pages, indices, exact, queries, rows, scores, stride, scratch);
  applyImportanceWeights(scores, stride, rows, exact, logs, caps);
  for (let r = 0; r < rows; r++) {
    const squares = firstRowResults + (<usize>(r * SIEVE_ROW_RESULTS) << 2) + EXACT_SQUARES;
    sumExactSquares(scores + <usize>r * rowBytes, stride, 1, exact, logs, squares, statistics);
  }
  addValues(pages, indices, exact, scores, stride, rows, state, scratch);

  // The others by their 4-bit values.
  const D = rotatedDim(d);
  const certain = load<i32>(parts);
  const firstHalf = load<i32>(parts, 4);
  const secondHalf = load<i32>(parts, 8);
  for (let r = 0; r < rows; r++) {
    const row = quantizedScores + <usize>r * rowBytes;
    const result = firstRowResults + (<usize>(r * SIEVE_ROW_RESULTS) << 2);
    const total = load<f32>(offsets + (<usize>r << 2));
    store<f32>(result, logSumOfSquares(row, certain, total), CERTAIN_SQUARES);
    const halves = logSumOfSquares(row + (<usize>certain << 2), firstHalf + secondHalf, total);
    store<f32>(result, halves, HALF_SQUARES);
  }
  const certainState = buffers.certainState;
  const firstHalfState = buffers.firstHalfState;
  const secondHalfState = buffers.secondHalfState;
  let list = quantizedIndices;
  let weights = quantizedScores;
  initSoftmaxState(certainState, rows, D);
  addQuantizedValues(pages, list, certain, weights, stride, rows, certainState, scratch);
  list += <usize>certain << 2;
  weights += <usize>certain << 2;
  initSoftmaxState(firstHalfState, rows, D);
  addQuantizedValues(pages, list, firstHalf, weights, stride, rows, firstHalfState, scratch);
  list += <usize>firstHalf << 2;
  weights += <usize>firstHalf << 2;
  initSoftmaxState(secondHalfState, rows, D);
  addQuantizedValues(pages, list, secondHalf, weights, stride, rows, secondHalfState, scratch);
  store<i32>(results, exact);
  memory.copy(results + 4, parts, 12);
  return exact;
}

/** See `QuantizedKernels.finishSieve`. */
export function finishSieve(states: SieveStates): void {
  const d = states.headDim;
  const rows = states.rows;
  const state = states.state;
  const certainState = states.certainState;
  const firstHalfState = states.firstHalfState;
  const secondHalfState = states.secondHalfState;
  const outputs = states.outputs;
  const results = states.results;
  const scratch = states.scratch;
  const D = rotatedDim(d);
  for (let r = 0; r < rows; r++) {
    const row = results + (<usize>(SIEVE_RESULT_COUNTS + r * SIEVE_ROW_RESULTS) << 2);
    store<f32>(row, load<f32>(state + (<usize>r << 3)));
    store<f32>(row, load<f32>(state + (<usize>r << 3), 4), 4);
  }
  mergeState(certainState, firstHalfState, rows, D);
  mergeState(certainState, secondHalfState, rows, D);
  inverseRotate(stateOutput(certainState, rows), rows, d, outputs, scratch);
  // Now it is a state of rows of d numbers: its statistics are in place already.
  memory.copy(stateOutput(certainState, rows), outputs, <usize>(rows * d) << 2);
  mergeState(state, certainState, rows, d);

  normalize(state, rows, d, outputs, <usize>d << 2);
  rotate(outputs, rows, d, certainState, scratch);
  for (let r = 0; r < rows; r++) {
    const row = results + (<usize>(SIEVE_RESULT_COUNTS + r * SIEVE_ROW_RESULTS) << 2);
    const sum = state + (<usize>r << 3);
    const total = logSumExp(sum);
    store<f32>(row, load<f32>(sum), 8);
    store<f32>(row, load<f32>(sum, 4), 12);
    store<f32>(row, halfSampleDistance(firstHalfState, secondHalfState, rows, D, r, certainState, total), HALF_DISTANCE);
  }
}

@inline
function initLogSumExp(statistics: usize): void {
  store<f32>(statistics, -Infinity);
  store<f32>(statistics, 0.0, 4);
}

/** max + ln sum of a running log-sum-exp. */
@inline
function logSumExp(statistics: usize): f32 {
  return <f32>(<f64>load<f32>(statistics) + logarithm(load<f32>(statistics, 4)));
}

/** Gives sinks and recent keys, which are at the ends of the list, the largest share. */
@inline
function includeEnds(shares: usize, indices: usize, count: i32, sinks: i32, recentFrom: i32): void {
  for (let j = 0; j < count && load<i32>(indices + (<usize>j << 2)) < sinks; j++) {
    store<f32>(shares + (<usize>j << 2), f32.MAX_VALUE);
  }
  for (let j = count - 1; j >= 0 && load<i32>(indices + (<usize>j << 2)) >= recentFrom; j--) {
    store<f32>(shares + (<usize>j << 2), f32.MAX_VALUE);
  }
}

/** Lists the indices of the shares that are at least `minLogShare`; returns how many they are. */
@inline
function listHeavy(shares: usize, count: i32, minLogShare: f32, list: usize): i32 {
  let target = list;
  for (let j = 0; j < count; j++) {
    store<i32>(target, j);
    target += <usize>(load<f32>(shares + (<usize>j << 2)) >= minLogShare) << 2;
  }
  return <i32>((target - list) >> 2);
}

/** ln of a sum of squared shares of e^total. */
@inline
function logOfSquares(squares: f32, total: f32): f32 {
  return <f32>(logarithm(squares) + 2.0 * <f64>total);
}

/** See `QuantizedKernels.sumExactSquares`. `statistics` holds a running log-sum-exp. */
export function sumExactSquares(
  scores: usize,
  stride: i32,
  rows: i32,
  count: i32,
  logProbabilities: usize,
  squares: usize,
  statistics: usize,
): void {
  for (let r = 0; r < rows; r++) {
    const row = scores + (<usize>(r * stride) << 2);
    initLogSumExp(statistics);
    updateLogSumExp(row, count, statistics);
    sumRowSquares(row, logProbabilities, count, logSumExp(statistics), squares + <usize>(r << 3));
  }
}

/** Stores ln of the sum of w^2 (1 - pi), and of w^2 pi, over keys of log-weights `scores`, of a sum of e^total. */
function sumRowSquares(scores: usize, logProbabilities: usize, count: i32, total: f32, logs: usize): void {
  const whole = <usize>(count & ~3) << 2;
  const shift = f32x4.splat(total);
  const one = f32x4.splat(1.0);
  let variances = f32x4.splat(0.0);
  let squares = variances;
  for (let i: usize = 0; i < whole; i += 16) {
    const share = exponential(f32x4.pmin(f32x4.sub(v128.load(scores + i), shift), f32x4.splat(0.0)));
    const probability = exponential(v128.load(logProbabilities + i));
    const square = f32x4.mul(share, share);
    variances = f32x4.add(variances, f32x4.mul(square, f32x4.sub(one, probability)));
    squares = f32x4.add(squares, f32x4.mul(square, probability));
  }
  let variance = sumLanes(variances);
  let square = sumLanes(squares);
  for (let i = whole; i < <usize>count << 2; i += 4) {
    const share = exponential1(min(load<f32>(scores + i) - total, <f32>0.0));
    const probability = exponential1(load<f32>(logProbabilities + i));
    variance += share * share * (<f32>1.0 - probability);
    square += share * share * probability;
  }
  store<f32>(logs, logOfSquares(variance, total));
  store<f32>(logs, logOfSquares(square, total), 4);
}

/** ln of the sum of the squared weights of `count` keys, of a sum of e^total. */
@inline
function logSumOfSquares(scores: usize, count: i32, total: f32): f32 {
  const whole = <usize>(count & ~3) << 2;
  const shift = f32x4.splat(total);
  let squares = f32x4.splat(0.0);
  for (let i: usize = 0; i < whole; i += 16) {
    const x = f32x4.pmin(f32x4.sub(v128.load(scores + i), shift), f32x4.splat(0.0));
    squares = f32x4.add(squares, exponential(f32x4.add(x, x)));
  }
  let square = sumLanes(squares);
  for (let i = whole; i < <usize>count << 2; i += 4) {
    square += exponential1(<f32>2.0 * min(load<f32>(scores + i) - total, <f32>0.0));
  }
  return logOfSquares(square, total);
}

/** ||(N_A - Z_A o) - (N_B - Z_B o)|| / Z: see `src/sieve/half-samples.ts`. `outputs` (rows, D) are rotated. */
function halfSampleDistance(a: usize, b: usize, rows: i32, D: i32, row: i32, outputs: usize, total: f32): f32 {
  const sumA = a + (<usize>row << 3);
  const sumB = b + (<usize>row << 3);
  const scaleA = exponential1(load<f32>(sumA) - total);
  const scaleB = exponential1(load<f32>(sumB) - total);
  const share = f32x4.splat(load<f32>(sumA, 4) * scaleA - load<f32>(sumB, 4) * scaleB);
  const first = <usize>(row * D) << 2;
  const x = stateOutput(a, rows) + first;
  const y = stateOutput(b, rows) + first;
  let squares = f32x4.splat(0.0);
  for (let i: usize = 0; i < <usize>D << 2; i += 16) {
    const difference = f32x4.sub(
      f32x4.mul(v128.load(x + i), f32x4.splat(scaleA)),
      f32x4.mul(v128.load(y + i), f32x4.splat(scaleB)),
    );
    const rest = f32x4.sub(difference, f32x4.mul(share, v128.load(outputs + first + i)));
    squares = f32x4.add(squares, f32x4.mul(rest, rest));
  }
  return <f32>Math.sqrt(<f64>sumLanes(squares));
}
