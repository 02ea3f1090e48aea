/** The kernels in WebAssembly: compiled once a process, instantiated once for each arena and thread. */
import { withInt8Rows } from '../int8-rows.ts';
import type { Kernels } from '../kernels.ts';
import { viewsOf } from '../views.ts';
import { MEMORY_FLAGS, SHARED_KERNELS } from './binary.ts';
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

type MemoryKind = 'shared' | 'plain';

const modules = new Map<MemoryKind, WebAssembly.Module>();

function compiled(kind: MemoryKind): WebAssembly.Module {
  let module = modules.get(kind);
  if (module === undefined) {
    module = new WebAssembly.Module(kernelBytes(kind));
    modules.set(kind, module);
  }
  return module;
}

/** The kernels for one kind of memory, as a WebAssembly module. */
export function kernelBytes(kind: MemoryKind): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from({ length: SHARED_KERNELS.length / 2 }, (_, i) =>
    Number.parseInt(SHARED_KERNELS.slice(2 * i, 2 * i + 2), 16),
  );
  if (kind === 'plain') bytes[MEMORY_FLAGS.at] = MEMORY_FLAGS.plain;
  return bytes;
}

/** The kernels for shared memory, compiled: what another thread is posted, so that it need not compile them again. */
export const compiledKernels = (): WebAssembly.Module => compiled('shared');

/** Takes kernels that another thread has compiled. */
export function adoptKernels(module: WebAssembly.Module): void {
  modules.set('shared', module);
}

/** Whether this platform can run the kernels at all: WebAssembly with SIMD. */
export function wasmSupported(): boolean {
  try {
    compiled('plain');
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
  const module = compiled(shared ? 'shared' : 'plain');
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
