/** The sieve's kernels in WebAssembly: how the interface's arguments are handed to the module. */
import type { CodeKernels } from '../code-kernels.ts';
import type { Precision } from '../layout.ts';

/** A head's exact rows, as the module takes them: half is 1 for float16. */
type ExactArguments = [exactTable: number, exactOffset: number, d: number, half: number];
/** One plane of a head, by its offset in the page. */
type PlaneArguments = [table: number, headOffset: number, d: number, plane: number];
type PlanArguments = [n: number, sinks: number, keptFrom: number, most: number, turn: number];
type ListArguments = [indices: number, count: number];
type ScoreArguments = [rows: number, scores: number, stride: number];
type RotateArguments = [source: number, rows: number, d: number, destination: number, scratch: number];

/** The functions that packages/core/assembly exports for the sieve. Addresses wrap to 32 bits on the way in. */
export interface CodeExports {
  seal(
    ...args: [
      ...ExactArguments,
      ...[table: number, headOffset: number, sign: number, int4: number, int8: number, values: number],
      ...[summary: number, boxes: number, lossy: number, page: number, scratch: number],
    ]
  ): number;
  widenRows(
    ...args: [
      ...[table: number, headOffset: number, d: number, sign: number, upper: number, lower: number],
      ...ListArguments,
      ...[destination: number, scratch: number],
    ]
  ): void;
  rotate(...args: RotateArguments): void;
  rotateBack(...args: RotateArguments): void;
  prepareCodes(queries: number, rows: number, d: number, codeQuery: number, scratch: number): void;
  scanSigns(
    ...args: [
      ...PlaneArguments,
      ...[from: number, to: number, codeQuery: number, rows: number, bits: number],
      ...[scans: number, stride: number, bases: number, baseStride: number],
    ]
  ): void;
  estimateMass: CodeKernels['estimateMass'];
  poolScans: CodeKernels['poolScans'];
  poolScores: CodeKernels['poolScores'];
  splitSample(
    ...args: [
      ...[indices: number, logProbabilities: number, scores: number, stride: number, rows: number, count: number],
      ...[shares: number, chosen: number, chosenCount: number, least: number],
      ...[codedIndices: number, codedScores: number, codedStride: number, parts: number],
    ]
  ): number;
  drawKeys(
    ...args: [
      ...[pooled: number, ...PlanArguments, bits: number, tables: number],
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
  scoreCodes(
    ...args: [
      ...PlaneArguments,
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
  weighScores(
    ...args: [scores: number, stride: number, rows: number, count: number, logProbabilities: number, caps: number]
  ): void;
  addValues(
    ...args: [...ExactArguments, ...ListArguments, ...[scores: number, stride: number, rows: number], ...StateArguments]
  ): void;
  addCodedValues(
    ...args: [...PlaneArguments, ...ListArguments, ...[scores: number, stride: number, rows: number], ...StateArguments]
  ): void;
  mergeHalves: CodeKernels['mergeHalves'];
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

export function wrapCodeKernels(wasm: CodeExports): CodeKernels {
  const half = (precision: Precision) => (precision === 'f16' ? 1 : 0);
  return {
    seal({ exactTable, exactOffset, headDim, precision, table, headOffset, kept, ...planes }, page, scratch) {
      const { sign, int4, int8, values, summary, boxes } = planes;
      const exact = [exactTable, exactOffset, headDim, half(precision)] as const;
      const lossy = kept === 'int8' ? 1 : 0;
      const offsets = [sign, int4, int8, values, summary, boxes] as const;
      return wasm.seal(...exact, table, headOffset, ...offsets, lossy, page, scratch) !== 0;
    },
    widenRows({ table, headOffset, headDim, sign, int4, int8, values }, what, indices, count, destination, scratch) {
      const planes = what === 'keys' ? ([sign, int4, int8] as const) : ([0, int4, values] as const);
      wasm.widenRows(table, headOffset, headDim, ...planes, indices, count, destination, scratch);
    },
    rotate: wasm.rotate,
    rotateBack: wasm.rotateBack,
    prepareCodes: wasm.prepareCodes,
    scanSigns({ table, headOffset, headDim, sign }, from, to, codeQuery, rows, bits, scans, stride, bases, baseStride) {
      const target = [scans, stride, bases, baseStride] as const;
      wasm.scanSigns(table, headOffset, headDim, sign, from, to, codeQuery, rows, bits, ...target);
    },
    estimateMass: wasm.estimateMass,
    poolScans: wasm.poolScans,
    poolScores: wasm.poolScores,
    splitSample({ indices, logProbabilities, scores, stride, rows, count }, split) {
      const { shares, chosen, chosenCount, least, codedIndices, codedScores, codedStride, parts } = split;
      const sample = [indices, logProbabilities, scores, stride, rows, count] as const;
      const coded = [codedIndices, codedScores, codedStride] as const;
      return wasm.splitSample(...sample, shares, chosen, chosenCount, least, ...coded, parts);
    },
    drawKeys(pooled, plan, bits, tables, indices, logProbabilities, threshold, groups, scratch) {
      const { n, sinks, keptFrom, most, turn } = plan;
      const target = [indices, logProbabilities, threshold, groups, scratch] as const;
      return wasm.drawKeys(pooled, n, sinks, keptFrom, most, turn, bits, tables, ...target);
    },
    sieve(
      { table, headOffset, headDim, precision, sign, int4 },
      { n, rows, bits, plan, exact, temper, logCap },
      buffers,
    ) {
      const { sinks, keptFrom, most, turn } = plan;
      const pages = [table, headOffset, headDim, half(precision), sign, int4] as const;
      const sample = [sinks, keptFrom, most, turn, temper, logCap] as const;
      const exactly = [exact.sinks, exact.recentFrom, exact.most, exact.leastLog] as const;
      return wasm.sieve(...pages, n, rows, bits, ...sample, ...exactly, buffers);
    },
    finishSieve(headDim, rows, { state, certainState, oneState, otherState, results }, rounding, outputs, scratch) {
      const states = [state, certainState, oneState, otherState] as const;
      wasm.finishSieve(headDim, rows, rounding, ...states, outputs, results, scratch);
    },
    scoreCodes(pages, from, indices, count, codeQuery, rows, scores, stride, bases, baseStride) {
      const { table, headOffset, headDim, int4 } = pages;
      const list = [indices, count] as const;
      const target = [rows, scores, stride, bases, baseStride] as const;
      wasm.scoreCodes(table, headOffset, headDim, int4, from, ...list, codeQuery, ...target);
    },
    boundScores(pages, from, to, codeQuery, norms, rows, lower, upper, stride) {
      const { table, headOffset, headDim, sign, int4, int8 } = pages;
      const planes = [sign, int4, int8] as const;
      wasm.boundScores(table, headOffset, headDim, ...planes, from, to, codeQuery, norms, rows, lower, upper, stride);
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
        half(precision),
        ...list,
        queries,
        rows,
        scores,
        stride,
        scratch,
      );
    },
    weighScores: (scores, stride, rows, count, { logProbabilities, caps }) =>
      wasm.weighScores(scores, stride, rows, count, logProbabilities, caps),
    addValues({ exactTable, exactOffset, headDim, precision }, indices, count, scores, stride, rows, state, scratch) {
      const list = [indices, count] as const;
      wasm.addValues(exactTable, exactOffset, headDim, half(precision), ...list, scores, stride, rows, state, scratch);
    },
    addCodedValues: ({ table, headOffset, headDim, int4 }, indices, count, scores, stride, rows, state, scratch) =>
      wasm.addCodedValues(table, headOffset, headDim, int4, indices, count, scores, stride, rows, state, scratch),
    mergeHalves: wasm.mergeHalves,
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
        half(precision),
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
