/** The kernels of a certified step in WebAssembly: how the interface's arguments are handed to the module. */
import type { BoundedKernels } from '../bounded-kernels.ts';
import type { Blocks } from './blocks.ts';
import type { OnPages } from './quantized-kernels.ts';

/** The functions that packages/core/assembly exports for certified steps. */
export interface BoundedExports {
  countBounds(upper: number, stride: number, rows: number, n: number, histograms: number, numbers: number): void;
  listForMass(
    upper: number,
    stride: number,
    rows: number,
    n: number,
    histograms: number,
    numbers: number,
    share: number,
    maxKeys: number,
    indices: number,
    masks: number,
    scratch: number,
  ): number;
  attendMasked: OnPages<BoundedKernels['attendMasked']>;
}

export const wrapBoundedKernels = (wasm: BoundedExports, blocks: Blocks): BoundedKernels => ({
  countBounds: ({ upper, stride, rows, n, histograms, numbers }) =>
    wasm.countBounds(upper, stride, rows, n, histograms, numbers),
  listForMass: ({ upper, stride, rows, n, histograms, numbers }, ...rest) =>
    wasm.listForMass(upper, stride, rows, n, histograms, numbers, ...rest),
  attendMasked: (pages, ...rest) => wasm.attendMasked(blocks.pages(pages), ...rest),
});
