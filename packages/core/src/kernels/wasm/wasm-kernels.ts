/** The kernels in WebAssembly: compiled once a process, instantiated once for each arena and thread. */
import { withInt8Rows } from '../int8-rows.ts';
import type { Kernels } from '../kernels.ts';
import { viewsOf } from '../views.ts';
import { PLAIN_KERNELS, SHARED_KERNELS } from './binary.ts';
import { createBlocks } from './blocks.ts';
import { type BoundedExports, wrapBoundedKernels } from './bounded-kernels.ts';
import { type OnPages, type QuantizedExports, wrapQuantizedKernels } from './quantized-kernels.ts';

/** The functions that packages/core/assembly exports. Addresses wrap to 32 bits on the way in. */
interface Exports extends QuantizedExports, BoundedExports {
  storeFloat16(source: number, destination: number, count: number): number;
  storeFloat32(source: number, destination: number, count: number): number;
  initSoftmaxState: Kernels['initSoftmaxState'];
  attendDecode(
    pages: number,
    from: number,
    to: number,
    queries: number,
    rows: number,
    softCap: number,
    state: number,
    scratch: number,
  ): void;
  attendPrefill(
    pages: number,
    from: number,
    to: number,
    queries: number,
    rows: number,
    group: number,
    limit: number,
    window: number,
    softCap: number,
    state: number,
    scratch: number,
  ): void;
  attendSelected: OnPages<Kernels['attendSelected']>;
  scoreKeys: OnPages<Kernels['scoreKeys']>;
  selectLargest: Kernels['selectLargest'];
  updateLogSumExp: Kernels['updateLogSumExp'];
  scaleQueries: Kernels['scaleQueries'];
  mergeState: Kernels['mergeState'];
  normalize: Kernels['normalize'];
}

const modules = new Map<string, WebAssembly.Module>();

function compiled(base64: string): WebAssembly.Module {
  let module = modules.get(base64);
  if (module === undefined) {
    const binary = atob(base64);
    module = new WebAssembly.Module(Uint8Array.from(binary, (character) => character.charCodeAt(0)));
    modules.set(base64, module);
  }
  return module;
}

/** The kernels for shared memory, compiled: what another thread is posted, so that it need not compile them again. */
export const compiledKernels = (): WebAssembly.Module => compiled(SHARED_KERNELS);

/** Takes kernels that another thread has compiled. */
export function adoptKernels(module: WebAssembly.Module): void {
  modules.set(SHARED_KERNELS, module);
}

/** Whether this platform can run the kernels at all: WebAssembly with SIMD. */
export function wasmSupported(): boolean {
  try {
    compiled(PLAIN_KERNELS);
    return true;
  } catch {
    return false;
  }
}

/** Query rows of one position from which on the tiled product is faster than row by row. */
const MIN_TILED_ROWS = 9;

/** Kernels over one arena's memory, which have PARAMETER_BYTES of it from `parameters` on to themselves. */
export function createWasmKernels(memory: WebAssembly.Memory, parameters: number): Kernels {
  const shared = typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  const module = compiled(shared ? SHARED_KERNELS : PLAIN_KERNELS);
  const wasm = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const views = viewsOf(memory);
  const blocks = createBlocks(views, parameters);
  const kernels: Kernels = {
    ...wrapQuantizedKernels(wasm, blocks),
    ...wrapBoundedKernels(wasm, blocks),
    name: 'wasm',
    store: (source, destination, count, precision) =>
      (precision === 'f16' ? wasm.storeFloat16 : wasm.storeFloat32)(source, destination, count) !== 0,
    initSoftmaxState: wasm.initSoftmaxState,
    attendFull(pages, from, to, { address, rows, group, limit, window = limit + rows, softCap = 0 }, state, scratch) {
      if (rows === group && rows < MIN_TILED_ROWS) {
        const start = Math.max(from, limit - window);
        const end = Math.min(to, limit);
        if (end > start) wasm.attendDecode(blocks.pages(pages), start, end, address, rows, softCap, state, scratch);
      } else {
        const block = [address, rows, group, limit, window, softCap] as const;
        wasm.attendPrefill(blocks.pages(pages), from, to, ...block, state, scratch);
      }
    },
    attendSelected: (pages, ...rest) => wasm.attendSelected(blocks.pages(pages), ...rest),
    scoreKeys: (pages, ...rest) => wasm.scoreKeys(blocks.pages(pages), ...rest),
    selectLargest: wasm.selectLargest,
    updateLogSumExp: wasm.updateLogSumExp,
    scaleQueries: wasm.scaleQueries,
    mergeState: wasm.mergeState,
    normalize: wasm.normalize,
  };
  return withInt8Rows(kernels, views);
}
