/** The sieve's kernels in WebAssembly: how the interface's arguments are handed to the module. */
import type { Pages } from '../layout.ts';
import { type QuantizedKernels, type ScannedKeys, scanStride, scoreStride } from '../quantized-kernels.ts';
import { writeKeyDraw, writeSampleSplit, writeSieveStates, writeSieveStep } from '../structs.generated.ts';
import type { Blocks } from './blocks.ts';

/** The functions that packages/core/assembly exports for the sieve. Addresses wrap to 32 bits on the way in. */
export interface QuantizedExports {
  quantizePage(pages: number, page: number, scratch: number): number;
  dequantizeRows(
    pages: number,
    values: number,
    indices: number,
    count: number,
    destination: number,
    scratch: number,
  ): void;
  rotate: QuantizedKernels['rotate'];
  inverseRotate: QuantizedKernels['inverseRotate'];
  quantizeQueries: OnPages<QuantizedKernels['quantizeQueries']>;
  scanSigns(
    pages: number,
    from: number,
    to: number,
    quantizedQuery: number,
    rows: number,
    fractionBits: number,
    scans: number,
    stride: number,
    centerScores: number,
    centerStride: number,
  ): void;
  scanScores: QuantizedKernels['scanScores'];
  approximateLogSumExp: QuantizedKernels['approximateLogSumExp'];
  maxOverHeads: QuantizedKernels['maxOverHeads'];
  maxScoresOverHeads: QuantizedKernels['maxScoresOverHeads'];
  splitSample(split: number): number;
  drawKeys(draw: number): number;
  fitScan: OnScannedKeys<QuantizedKernels['fitScan']>;
  fitScanRows(
    scans: number,
    fractionBits: number,
    indices: number,
    count: number,
    scores: number,
    stride: number,
    rows: number,
    fits: number,
    scratch: number,
  ): number;
  undrawnSquares: OnScannedKeys<QuantizedKernels['undrawnSquares']>;
  sieve(pages: number, step: number, buffers: number): number;
  finishSieve(states: number): void;
  scoreQuantized(
    pages: number,
    from: number,
    indices: number,
    count: number,
    quantizedQuery: number,
    rows: number,
    scores: number,
    stride: number,
    centerScores: number,
    centerStride: number,
  ): void;
  boundScores: OnPages<QuantizedKernels['boundScores']>;
  scoreSelected: OnPages<QuantizedKernels['scoreSelected']>;
  applyImportanceWeights(
    scores: number,
    stride: number,
    rows: number,
    count: number,
    logProbabilities: number,
    caps: number,
  ): void;
  sumExactSquares: QuantizedKernels['sumExactSquares'];
  addValues: OnPages<QuantizedKernels['addValues']>;
  addQuantizedValues: OnPages<QuantizedKernels['addQuantizedValues']>;
  mergeHalfSamples: QuantizedKernels['mergeHalfSamples'];
  attendGathered: OnPages<QuantizedKernels['attendGathered']>;
}

/** A kernel that takes what `ScannedKeys` has one by one, in place of the object. */
type OnScannedKeys<Kernel> = Kernel extends (keys: ScannedKeys, ...rest: infer Rest) => infer Result
  ? (...parameters: [...ReturnType<typeof scannedKeys>, ...rest: Rest]) => Result
  : never;

const scannedKeys = ({ scans, fractionBits, indices, logProbabilities, count }: ScannedKeys) =>
  [scans, fractionBits, indices, logProbabilities, count] as const;

/** A kernel that takes the address of the block `Pages` in place of the object. */
export type OnPages<Kernel> = Kernel extends (pages: Pages, ...rest: infer Rest) => infer Result
  ? (pages: number, ...rest: Rest) => Result
  : never;

export function wrapQuantizedKernels(wasm: QuantizedExports, blocks: Blocks): QuantizedKernels {
  return {
    quantizePage: (pages, page, scratch) => wasm.quantizePage(blocks.pages(pages), page, scratch) !== 0,
    dequantizeRows(pages, what, indices, count, destination, scratch) {
      const values = what === 'values' ? 1 : 0;
      wasm.dequantizeRows(blocks.pages(pages), values, indices, count, destination, scratch);
    },
    rotate: wasm.rotate,
    inverseRotate: wasm.inverseRotate,
    quantizeQueries: (pages, ...rest) => wasm.quantizeQueries(blocks.pages(pages), ...rest),
    scanSigns(pages, from, to, { address, rows, centerScores, centerStride }, fractionBits, scans, stride) {
      const at = blocks.pages(pages);
      wasm.scanSigns(at, from, to, address, rows, fractionBits, scans, stride, centerScores, centerStride);
    },
    scanScores: wasm.scanScores,
    approximateLogSumExp: wasm.approximateLogSumExp,
    maxOverHeads: wasm.maxOverHeads,
    maxScoresOverHeads: wasm.maxScoresOverHeads,
    splitSample: (sample, split) => wasm.splitSample(blocks.write(writeSampleSplit, { ...sample, ...split })),
    drawKeys: ({ plan, ...draw }) => wasm.drawKeys(blocks.write(writeKeyDraw, { ...draw, ...plan })),
    fitScan: (keys, ...rest) => wasm.fitScan(...scannedKeys(keys), ...rest),
    fitScanRows: ({ scans, fractionBits, indices, count }, scores, stride, rows, fits, scratch) =>
      wasm.fitScanRows(scans, fractionBits, indices, count, scores, stride, rows, fits, scratch),
    undrawnSquares: (keys, ...rest) => wasm.undrawnSquares(...scannedKeys(keys), ...rest),
    sieve(pages, { n, rows, fractionBits, plan, proposalExponent, logCap, exact }, buffers) {
      const { sinks, recentFrom, maxKeys, seed } = plan;
      const step = blocks.write(writeSieveStep, {
        n,
        rows,
        fractionBits,
        sinks,
        recentFrom,
        maxKeys,
        seed,
        proposalExponent,
        logCap,
        exactSinks: exact.sinks,
        exactRecentFrom: exact.recentFrom,
        maxExactKeys: exact.maxKeys,
        minLogShare: exact.minLogShare,
        scoreStride: scoreStride(n),
        scanStride: scanStride(n),
      });
      return wasm.sieve(blocks.pages(pages), step, buffers);
    },
    finishSieve(headDim, rows, states, outputs, scratch) {
      const { state, certainState, firstHalfState, secondHalfState, results } = states;
      const block = blocks.write(writeSieveStates, {
        headDim,
        rows,
        state,
        certainState,
        firstHalfState,
        secondHalfState,
        results,
        outputs,
        scratch,
      });
      wasm.finishSieve(block);
    },
    scoreQuantized(pages, from, indices, count, { address, rows, centerScores, centerStride }, scores, stride) {
      const at = blocks.pages(pages);
      wasm.scoreQuantized(at, from, indices, count, address, rows, scores, stride, centerScores, centerStride);
    },
    boundScores: (pages, ...rest) => wasm.boundScores(blocks.pages(pages), ...rest),
    scoreSelected: (pages, ...rest) => wasm.scoreSelected(blocks.pages(pages), ...rest),
    applyImportanceWeights: (scores, stride, rows, count, { logProbabilities, caps }) =>
      wasm.applyImportanceWeights(scores, stride, rows, count, logProbabilities, caps),
    sumExactSquares: wasm.sumExactSquares,
    addValues: (pages, ...rest) => wasm.addValues(blocks.pages(pages), ...rest),
    addQuantizedValues: (pages, ...rest) => wasm.addQuantizedValues(blocks.pages(pages), ...rest),
    mergeHalfSamples: wasm.mergeHalfSamples,
    attendGathered: (pages, ...rest) => wasm.attendGathered(blocks.pages(pages), ...rest),
  };
}
