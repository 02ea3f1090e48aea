/** The sieve's kernels in WebAssembly: how the interface's arguments are handed to the module. */

import type { Precision } from '../layout.ts';
import type { QuantizedKernels } from '../quantized-kernels.ts';

/** A head's exact rows, as the module takes them: half is 1 for float16. */
type ExactArguments = [exactTable: number, exactOffset: number, d: number, half: number];
/** One plane of a head, by its offset in the page. */
type EncodingArguments = [table: number, headOffset: number, d: number, plane: number];
type DrawPlanArguments = [n: number, sinks: number, keptFrom: number, most: number, turn: number];
type ListArguments = [indices: number, count: number];
type ScoreArguments = [rows: number, scores: number, stride: number];
type RotateArguments = [source: number, rows: number, d: number, destination: number, scratch: number];

/** The functions that packages/core/assembly exports for the sieve. Addresses wrap to 32 bits on the way in. */
export interface QuantizedExports {
  quantizePage(
    ...args: [
      ...ExactArguments,
      ...[table: number, headOffset: number, sign: number, int4: number, int8: number, values: number],
      ...[summary: number, minMax: number, lossy: number, page: number, scratch: number],
    ]
  ): number;
  dequantizeRows(
    ...args: [
      ...[table: number, headOffset: number, d: number, sign: number, upper: number, lower: number],
      ...ListArguments,
      ...[destination: number, scratch: number],
    ]
  ): void;
  rotate(...args: RotateArguments): void;
  inverseRotate(...args: RotateArguments): void;
  quantizeQueries(queries: number, rows: number, d: number, quantizedQuery: number, scratch: number): void;
  scanSigns(
    ...args: [
      ...EncodingArguments,
      ...[from: number, to: number, codeQuery: number, rows: number, bits: number],
      ...[scans: number, stride: number, bases: number, baseStride: number],
    ]
  ): void;
  approximateLogSumExp: QuantizedKernels['approximateLogSumExp'];
  maxOverHeads: QuantizedKernels['maxOverHeads'];
  maxScoresOverHeads: QuantizedKernels['maxScoresOverHeads'];
  splitSample(
    ...args: [
      ...[indices: number, logProbabilities: number, scores: number, stride: number, rows: number, count: number],
      ...[shares: number, chosen: number, chosenCount: number, least: number],
      ...[codedIndices: number, codedScores: number, codedStride: number, parts: number],
    ]
  ): number;
  drawKeys(
    ...args: [
      ...[pooled: number, ...DrawPlanArguments, bits: number, tables: number],
      ...[indices: number, logProbabilities: number, threshold: number, groups: number, scratch: number],
    ]
  ): number;
  sieve(
    ...args: [
      ...ExactArguments,
      ...[signPlane: number, codePlane: number, n: number, rows: number, bits: number],
      ...[sinks: number, keptFrom: number, most: number, turn: number, temper: number, logCap: number],
      ...[exactSinks: number, exactFrom: number, mostExact: number, least: number, buffers: number],
    ]
  ): number;
  finishSieve(
    ...args: [
      ...[d: number, rows: number, rounding: number],
      ...[state: number, certainState: number, oneState: number, otherState: number],
      ...[outputs: number, results: number, scratch: number],
    ]
  ): void;
  scoreQuantized(
    ...args: [
      ...EncodingArguments,
      from: number,
      ...ListArguments,
      codeQuery: number,
      ...ScoreArguments,
      ...[bases: number, baseStride: number],
    ]
  ): void;
  boundScores(
    ...args: [
      ...[table: number, headOffset: number, d: number, sign: number, int4: number, int8: number],
      ...[from: number, to: number, codeQuery: number, norms: number, rows: number],
      ...[lower: number, upper: number, stride: number],
    ]
  ): void;
  scoreSelected(
    ...args: [...ExactArguments, ...ListArguments, queries: number, ...ScoreArguments, scratch: number]
  ): void;
  applyImportanceWeights(
    ...args: [scores: number, stride: number, rows: number, count: number, logProbabilities: number, caps: number]
  ): void;
  addValues(
    ...args: [...ExactArguments, ...ListArguments, ...[scores: number, stride: number, rows: number], ...StateArguments]
  ): void;
  addQuantizedValues(
    ...args: [
      ...EncodingArguments,
      ...ListArguments,
      ...[scores: number, stride: number, rows: number],
      ...StateArguments,
    ]
  ): void;
  mergeHalfSamples: QuantizedKernels['mergeHalfSamples'];
  attendGathered(
    ...args: [
      ...ExactArguments,
      ...ListArguments,
      ...[biases: number, queries: number, rows: number],
      ...StateArguments,
    ]
  ): void;
}

type StateArguments = [state: number, scratch: number];

export function wrapQuantizedKernels(wasm: QuantizedExports): QuantizedKernels {
  const isFloat16 = (precision: Precision) => (precision === 'f16' ? 1 : 0);
  return {
    quantizePage(
      { exactTable, exactOffset, headDim, precision, table, headOffset, storedPrecision, ...encodings },
      page,
      scratch,
    ) {
      const { sign, int4, int8, values, summary, minMax } = encodings;
      const exact = [exactTable, exactOffset, headDim, isFloat16(precision)] as const;
      const dropsExactRows = storedPrecision === 'int8' ? 1 : 0;
      const offsets = [sign, int4, int8, values, summary, minMax] as const;
      return wasm.quantizePage(...exact, table, headOffset, ...offsets, dropsExactRows, page, scratch) !== 0;
    },
    dequantizeRows(
      { table, headOffset, headDim, sign, int4, int8, values },
      what,
      indices,
      count,
      destination,
      scratch,
    ) {
      const encodings = what === 'keys' ? ([sign, int4, int8] as const) : ([0, int4, values] as const);
      wasm.dequantizeRows(table, headOffset, headDim, ...encodings, indices, count, destination, scratch);
    },
    rotate: wasm.rotate,
    inverseRotate: wasm.inverseRotate,
    quantizeQueries: wasm.quantizeQueries,
    scanSigns(
      { table, headOffset, headDim, sign },
      from,
      to,
      quantizedQuery,
      rows,
      fractionBits,
      scans,
      stride,
      bases,
      baseStride,
    ) {
      const target = [scans, stride, bases, baseStride] as const;
      wasm.scanSigns(table, headOffset, headDim, sign, from, to, quantizedQuery, rows, fractionBits, ...target);
    },
    approximateLogSumExp: wasm.approximateLogSumExp,
    maxOverHeads: wasm.maxOverHeads,
    maxScoresOverHeads: wasm.maxScoresOverHeads,
    splitSample({ indices, logProbabilities, scores, stride, rows, count }, split) {
      const { shares, selected, selectedCount, minShare, quantizedIndices, quantizedScores, quantizedStride, parts } =
        split;
      const sample = [indices, logProbabilities, scores, stride, rows, count] as const;
      const quantized = [quantizedIndices, quantizedScores, quantizedStride] as const;
      return wasm.splitSample(...sample, shares, selected, selectedCount, minShare, ...quantized, parts);
    },
    drawKeys(pooled, plan, fractionBits, tables, indices, logProbabilities, threshold, keyBlocks, scratch) {
      const { n, sinks, recentFrom, maxKeys, seed } = plan;
      const target = [indices, logProbabilities, threshold, keyBlocks, scratch] as const;
      return wasm.drawKeys(pooled, n, sinks, recentFrom, maxKeys, seed, fractionBits, tables, ...target);
    },
    sieve(
      { table, headOffset, headDim, precision, sign, int4 },
      { n, rows, fractionBits, plan, exact, proposalExponent, logCap },
      buffers,
    ) {
      const { sinks, recentFrom, maxKeys, seed } = plan;
      const pages = [table, headOffset, headDim, isFloat16(precision), sign, int4] as const;
      const sample = [sinks, recentFrom, maxKeys, seed, proposalExponent, logCap] as const;
      const exactly = [exact.sinks, exact.recentFrom, exact.maxKeys, exact.minLogShare] as const;
      return wasm.sieve(...pages, n, rows, fractionBits, ...sample, ...exactly, buffers);
    },
    finishSieve(
      headDim,
      rows,
      { state, certainState, firstHalfState, secondHalfState, results },
      rounding,
      outputs,
      scratch,
    ) {
      const states = [state, certainState, firstHalfState, secondHalfState] as const;
      wasm.finishSieve(headDim, rows, rounding, ...states, outputs, results, scratch);
    },
    scoreQuantized(pages, from, indices, count, quantizedQuery, rows, scores, stride, bases, baseStride) {
      const { table, headOffset, headDim, int4 } = pages;
      const list = [indices, count] as const;
      const target = [rows, scores, stride, bases, baseStride] as const;
      wasm.scoreQuantized(table, headOffset, headDim, int4, from, ...list, quantizedQuery, ...target);
    },
    boundScores(pages, from, to, quantizedQuery, norms, rows, lower, upper, stride) {
      const { table, headOffset, headDim, sign, int4, int8 } = pages;
      const encodings = [sign, int4, int8] as const;
      wasm.boundScores(
        table,
        headOffset,
        headDim,
        ...encodings,
        from,
        to,
        quantizedQuery,
        norms,
        rows,
        lower,
        upper,
        stride,
      );
    },
    scoreSelected(
      { exactTable, exactOffset, headDim, precision },
      indices,
      count,
      queries,
      rows,
      scores,
      stride,
      scratch,
    ) {
      const list = [indices, count] as const;
      wasm.scoreSelected(
        exactTable,
        exactOffset,
        headDim,
        isFloat16(precision),
        ...list,
        queries,
        rows,
        scores,
        stride,
        scratch,
      );
    },
    applyImportanceWeights: (scores, stride, rows, count, { logProbabilities, caps }) =>
      wasm.applyImportanceWeights(scores, stride, rows, count, logProbabilities, caps),
    addValues({ exactTable, exactOffset, headDim, precision }, indices, count, scores, stride, rows, state, scratch) {
      const list = [indices, count] as const;
      wasm.addValues(
        exactTable,
        exactOffset,
        headDim,
        isFloat16(precision),
        ...list,
        scores,
        stride,
        rows,
        state,
        scratch,
      );
    },
    addQuantizedValues: ({ table, headOffset, headDim, int4 }, indices, count, scores, stride, rows, state, scratch) =>
      wasm.addQuantizedValues(table, headOffset, headDim, int4, indices, count, scores, stride, rows, state, scratch),
    mergeHalfSamples: wasm.mergeHalfSamples,
    attendGathered(
      { exactTable, exactOffset, headDim, precision },
      indices,
      count,
      biases,
      queries,
      rows,
      state,
      scratch,
    ) {
      const list = [indices, count] as const;
      wasm.attendGathered(
        exactTable,
        exactOffset,
        headDim,
        isFloat16(precision),
        ...list,
        biases,
        queries,
        rows,
        state,
        scratch,
      );
    },
  };
}
