/**
 * A step of the sieve in one call, over keys that all lie in this memory, and another to finish it: what
 * `src/selectors/sieve.ts` and `src/tails/sampled.ts` do by parts. A step has a dozen parts of some microseconds each, and
 * as much again would go by between them.
 */
import { addQuantizedValues } from './quantized-values';
import { scoreQuantized } from './quantized-scores';
import { scoreKeys } from './decode';
import { drawKeys } from './draw';
import { exponential1, sumLanes } from './exponential';
import { SIEVE_RESULT_COUNTS, SIEVE_ROW_RESULTS } from './generated';
import { logarithm } from './logarithm';
import { PAGE_KEYS } from './pages';
import { approximateLogSumExp, maxOverHeads, maxScoresOverHeads } from './pool';
import { rotatedDim, rotate, inverseRotate } from './rotate';
import { toScanUnits, quantizeQueries, scanSigns, scanUnitsPerNat } from './scan';
import { selectLargest } from './select';
import { normalize, mergeState, initSoftmaxState, stateOutput } from './softmax';
import { splitSample } from './split';
import { updateLogSumExp } from './log-sum-exp';
import { addValues, scoreSelected, applyImportanceWeights } from './weighted';

/** The buffers of `src/cache/workspace.ts` that a step uses: their addresses, in this order. */
const enum Buffer {
  queries,
  quantizedQuery,
  bases,
  scans,
  scores,
  statistics,
  offsets,
  caps,
  pooled,
  drawTables,
  indices,
  logProbabilities,
  threshold,
  keyBlocks,
  quantizedIndices,
  quantizedScores,
  parts,
  state,
  certainState,
  firstHalfState,
  secondHalfState,
  scratch,
  results,
}

/** See `QuantizedKernels.sieve`, whose `SieveStep` and buffers these are. Returns how many keys were attended exactly. */
export function sieve(
  table: usize,
  headOffset: usize,
  d: i32,
  isFloat16: bool,
  signOffset: usize,
  int4Offset: usize,
  n: i32,
  rows: i32,
  fractionBits: i32,
  sinks: i32,
  recentFrom: i32,
  maxKeys: i32,
  seed: i32,
  proposalExponent: f32,
  logCap: f32,
  exactSinks: i32,
  exactFrom: i32,
  maxExactKeys: i32,
  minLogShare: f32,
  buffers: usize,
): i32 {
  const queries = at(buffers, Buffer.queries);
  const quantizedQuery = at(buffers, Buffer.quantizedQuery);
  const bases = at(buffers, Buffer.bases);
  const scans = at(buffers, Buffer.scans);
  const scores = at(buffers, Buffer.scores);
  const statistics = at(buffers, Buffer.statistics);
  const offsets = at(buffers, Buffer.offsets);
  const caps = at(buffers, Buffer.caps);
  const pooled = at(buffers, Buffer.pooled);
  const indices = at(buffers, Buffer.indices);
  const logs = at(buffers, Buffer.logProbabilities);
  const quantizedIndices = at(buffers, Buffer.quantizedIndices);
  const quantizedScores = at(buffers, Buffer.quantizedScores);
  const parts = at(buffers, Buffer.parts);
  const state = at(buffers, Buffer.state);
  const scratch = at(buffers, Buffer.scratch);
  const results = at(buffers, Buffer.results);
  const stride = (n + 11) & ~3;
  const scanStride = (n + 15) & ~7;
  const open = n & (PAGE_KEYS - 1);
  const firstUnquantized = n - open;
  const pages = firstUnquantized / PAGE_KEYS;
  const rowBytes = <usize>stride << 2;

  // All keys by their signs, the open page's exactly.
  quantizeQueries(queries, rows, d, quantizedQuery, scratch);
  scanSigns(table, headOffset, d, signOffset, 0, firstUnquantized, quantizedQuery, rows, fractionBits, scans, scanStride, bases, pages);
  if (open > 0) {
    const exactScores = scores + (<usize>firstUnquantized << 2);
    scoreKeys(table, headOffset, d, isFloat16, firstUnquantized, n, queries, rows, exactScores, stride, scratch);
    scanScores(exactScores, stride, rows, open, fractionBits, scans + (<usize>firstUnquantized << 1), scanStride);
  }
  for (let r = 0; r < rows; r++) {
    approximateLogSumExp(scans + (<usize>(r * scanStride) << 1), n, fractionBits, statistics);
    store<f32>(offsets + (<usize>r << 2), logSumExp(statistics));
  }

  // The sample, and its weights by 4-bit codes.
  maxOverHeads(scans, scanStride, rows, n, fractionBits, offsets, proposalExponent, pooled, false);
  const threshold = at(buffers, Buffer.threshold);
  const drawn = drawKeys(
    pooled,
    n,
    sinks,
    recentFrom,
    maxKeys,
    seed,
    fractionBits,
    at(buffers, Buffer.drawTables),
    indices,
    logs,
    threshold,
    at(buffers, Buffer.keyBlocks),
    scratch,
  );
  const quantized = drawn - open;
  scoreQuantized(table, headOffset, d, int4Offset, 0, indices, quantized, quantizedQuery, rows, scores, stride, bases, pages);
  for (let r = 0; r < rows; r++) {
    const cap = logCap + load<f32>(threshold) / proposalExponent + load<f32>(offsets + (<usize>r << 2));
    store<f32>(caps + (<usize>r << 2), cap);
  }
  applyImportanceWeights(scores, stride, rows, quantized, logs, caps);

  // The largest shares of it are attended exactly, with the sinks, the recent keys and the open page.
  for (let r = 0; r < rows; r++) {
    const row = scores + <usize>r * rowBytes;
    initLogSumExp(statistics);
    updateLogSumExp(row, quantized, statistics);
    updateLogSumExp(row + (<usize>firstUnquantized << 2), open, statistics);
    store<f32>(offsets + (<usize>r << 2), logSumExp(statistics));
  }
  maxScoresOverHeads(scores, stride, rows, quantized, offsets, pooled);
  includeEnds(pooled, indices, quantized, exactSinks, exactFrom);
  // As a rule fewer keys are heavy than may be chosen, and then these are the largest.
  let selected = listHeavy(pooled, quantized, minLogShare, quantizedIndices);
  if (selected > maxExactKeys) {
    selected = maxExactKeys;
    selectLargest(pooled, quantized, selected, 0, quantizedIndices, scratch);
  }
  let exact = splitSample(
    indices,
    logs,
    scores,
    stride,
    rows,
    quantized,
    pooled,
    quantizedIndices,
    selected,
    minLogShare,
    quantizedIndices,
    quantizedScores,
    stride,
    parts,
  );
  for (let i = 0; i < open; i++) {
    store<i32>(indices + (<usize>exact << 2), firstUnquantized + i);
    store<f32>(logs + (<usize>exact << 2), 0.0);
    exact++;
  }
  initSoftmaxState(state, rows, d);
  scoreSelected(table, headOffset, d, isFloat16, indices, exact, queries, rows, scores, stride, scratch);
  applyImportanceWeights(scores, stride, rows, exact, logs, caps);
  addValues(table, headOffset, d, isFloat16, indices, exact, scores, stride, rows, state, scratch);

  // The others by their codes.
  const D = rotatedDim(d);
  const certain = load<i32>(parts);
  const firstHalf = load<i32>(parts, 4);
  const secondHalf = load<i32>(parts, 8);
  for (let r = 0; r < rows; r++) {
    doubleScores(quantizedScores + <usize>r * rowBytes, certain, scores);
    initLogSumExp(statistics);
    updateLogSumExp(scores, certain, statistics);
    store<f32>(results + (<usize>(SIEVE_RESULT_COUNTS + r * SIEVE_ROW_RESULTS) << 2), logSumExp(statistics), 16);
  }
  const certainState = at(buffers, Buffer.certainState);
  const firstHalfState = at(buffers, Buffer.firstHalfState);
  const secondHalfState = at(buffers, Buffer.secondHalfState);
  let list = quantizedIndices;
  let weights = quantizedScores;
  initSoftmaxState(certainState, rows, D);
  addQuantizedValues(table, headOffset, d, int4Offset, list, certain, weights, stride, rows, certainState, scratch);
  list += <usize>certain << 2;
  weights += <usize>certain << 2;
  initSoftmaxState(firstHalfState, rows, D);
  addQuantizedValues(table, headOffset, d, int4Offset, list, firstHalf, weights, stride, rows, firstHalfState, scratch);
  list += <usize>firstHalf << 2;
  weights += <usize>firstHalf << 2;
  initSoftmaxState(secondHalfState, rows, D);
  addQuantizedValues(table, headOffset, d, int4Offset, list, secondHalf, weights, stride, rows, secondHalfState, scratch);
  store<i32>(results, exact);
  memory.copy(results + 4, parts, 12);
  return exact;
}

/** See `QuantizedKernels.finishSieve`. `scratch` is room for (2, D) floats. */
export function finishSieve(
  d: i32,
  rows: i32,
  rounding: f32,
  state: usize,
  certainState: usize,
  firstHalfState: usize,
  secondHalfState: usize,
  outputs: usize,
  results: usize,
  scratch: usize,
): void {
  const D = rotatedDim(d);
  for (let r = 0; r < rows; r++) {
    const row = results + (<usize>(SIEVE_RESULT_COUNTS + r * SIEVE_ROW_RESULTS) << 2);
    store<f32>(row, load<f32>(state + (<usize>r << 3)));
    store<f32>(row, load<f32>(state + (<usize>r << 3), 4), 4);
  }
  mergeState(certainState, firstHalfState, rows, D);
  mergeState(certainState, secondHalfState, rows, D);
  inverseRotate(stateOutput(certainState, rows), rows, d, outputs, scratch);
  // As a state of rows of d numbers: its statistics stand already where they belong.
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
    const samplingError = halfSampleDistance(firstHalfState, secondHalfState, rows, D, r, certainState, total);
    const quantizationError = exponential1(load<f32>(row, 16) * <f32>0.5 - total) * rounding;
    store<f32>(row, <f32>Math.sqrt(<f64>samplingError * <f64>samplingError + <f64>quantizationError * <f64>quantizationError), 16);
  }
}

@inline
function at(buffers: usize, buffer: Buffer): usize {
  return <usize>load<u32>(buffers + (<usize>buffer << 2));
}

@inline
function initLogSumExp(statistics: usize): void {
  store<f32>(statistics, -Infinity);
  store<f32>(statistics, 0.0, 4);
}

/** The logarithm of a sum. */
@inline
function logSumExp(statistics: usize): f32 {
  return <f32>(<f64>load<f32>(statistics) + logarithm(load<f32>(statistics, 4)));
}

/** Rows of scores (rows, stride) as rows of a scan (rows, scanStride). */
@inline
function scanScores(scores: usize, stride: i32, rows: i32, n: i32, fractionBits: i32, scans: usize, scanStride: i32): void {
  const unit = scanUnitsPerNat(fractionBits);
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < n; j++) {
      const score = load<f32>(scores + (<usize>(r * stride + j) << 2));
      store<i16>(scans + (<usize>(r * scanStride + j) << 1), <i16>toScanUnits(score * unit));
    }
  }
}

/** Puts sinks and recent keys, which are at the ends of the list, before all others. */
@inline
function includeEnds(shares: usize, indices: usize, count: i32, sinks: i32, recentFrom: i32): void {
  for (let j = 0; j < count && load<i32>(indices + (<usize>j << 2)) < sinks; j++) {
    store<f32>(shares + (<usize>j << 2), f32.MAX_VALUE);
  }
  for (let j = count - 1; j >= 0 && load<i32>(indices + (<usize>j << 2)) >= recentFrom; j--) {
    store<f32>(shares + (<usize>j << 2), f32.MAX_VALUE);
  }
}

/** Lists the numbers of the shares that are at least `least`; returns how many they are. */
@inline
function listHeavy(shares: usize, count: i32, minLogShare: f32, list: usize): i32 {
  let target = list;
  for (let j = 0; j < count; j++) {
    store<i32>(target, j);
    target += <usize>(load<f32>(shares + (<usize>j << 2)) >= minLogShare) << 2;
  }
  return <i32>((target - list) >> 2);
}

@inline
function doubleScores(scores: usize, count: i32, destination: usize): void {
  for (let i: usize = 0; i < <usize>count << 2; i += 16) {
    const x = v128.load(scores + i);
    v128.store(destination + i, f32x4.add(x, x));
  }
}

/** ||(N_A - Z_A o) - (N_B - Z_B o)|| / Z: see `src/certificates/halves.ts`. `outputs` (rows, D) are rotated. */
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
