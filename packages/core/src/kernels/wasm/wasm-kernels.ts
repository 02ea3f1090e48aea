/** The kernels in WebAssembly: compiled once a process, instantiated once for each arena and thread. */
import { withInt8Rows } from '../int8-rows.ts';
import type { Kernels } from '../kernels.ts';
import type { Precision } from '../layout.ts';
import { viewsOf } from '../views.ts';
import { PLAIN_KERNELS, SHARED_KERNELS } from './binary.ts';
import { type QuantizedExports, wrapQuantizedKernels } from './quantized-kernels.ts';

/** `Pages`, as the module takes them: half is 1 for float16. */
type PageArguments = [exactTable: number, exactOffset: number, d: number, half: number];

/** The keys at positions [from, to) of a head, and the rows that meet them. */
type RangeArguments = [...PageArguments, from: number, to: number, queries: number, rows: number];

/** The functions that packages/core/assembly exports. Addresses wrap to 32 bits on the way in. */
interface Exports extends QuantizedExports {
  storeFloat16(source: number, destination: number, count: number): number;
  storeFloat32(source: number, destination: number, count: number): number;
  initSoftmaxState(state: number, rows: number, d: number): void;
  attendDecode(...args: [...RangeArguments, state: number, scratch: number]): void;
  attendPrefill(...args: [...RangeArguments, group: number, limit: number, state: number, scratch: number]): void;
  attendSelected(
    ...args: [...PageArguments, indices: number, count: number, query: number, state: number, scratch: number]
  ): void;
  scoreKeys(...args: [...RangeArguments, scores: number, stride: number, scratch: number]): void;
  selectLargest(scores: number, n: number, k: number, base: number, indices: number, scratch: number): void;
  updateLogSumExp(scores: number, n: number, statistics: number): void;
  scaleQueries(queries: number, rows: number, d: number): number;
  mergeState(state: number, other: number, rows: number, d: number): void;
  normalize(state: number, rows: number, d: number, destination: number, stride: number): void;
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

/** Whether this platform can run the kernels at all: WebAssembly with SIMD. */
export function wasmSupported(): boolean {
  try {
    compiled(PLAIN_KERNELS);
    return true;
  } catch {
    return false;
  }
}

/** Rows of one query position, from which on the tiled product is faster than the row by row one. */
const MIN_TILED_ROWS = 9;

/** Kernels over one arena's memory. */
export function createWasmKernels(memory: WebAssembly.Memory): Kernels {
  const shared = typeof SharedArrayBuffer !== 'undefined' && memory.buffer instanceof SharedArrayBuffer;
  const module = compiled(shared ? SHARED_KERNELS : PLAIN_KERNELS);
  const wasm = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const half = (precision: Precision) => (precision === 'f16' ? 1 : 0);
  const kernels: Kernels = {
    ...wrapQuantizedKernels(wasm),
    name: 'wasm',
    store: (source, destination, count, precision) =>
      (precision === 'f16' ? wasm.storeFloat16 : wasm.storeFloat32)(source, destination, count) !== 0,
    initSoftmaxState: wasm.initSoftmaxState,
    attendFull(
      { exactTable, exactOffset, headDim, precision },
      from,
      to,
      { address, rows, group, limit },
      state,
      scratch,
    ) {
      const float16Flag = half(precision);
      if (rows === group && rows < MIN_TILED_ROWS) {
        const end = Math.min(to, limit);
        if (end > from)
          wasm.attendDecode(exactTable, exactOffset, headDim, float16Flag, from, end, address, rows, state, scratch);
      } else {
        const queries = [address, rows, group, limit] as const;
        wasm.attendPrefill(exactTable, exactOffset, headDim, float16Flag, from, to, ...queries, state, scratch);
      }
    },
    attendSelected: ({ exactTable, exactOffset, headDim, precision }, indices, count, query, state, scratch) =>
      wasm.attendSelected(exactTable, exactOffset, headDim, half(precision), indices, count, query, state, scratch),
    scoreKeys: ({ exactTable, exactOffset, headDim, precision }, from, to, queries, rows, scores, stride, scratch) =>
      wasm.scoreKeys(
        exactTable,
        exactOffset,
        headDim,
        half(precision),
        from,
        to,
        queries,
        rows,
        scores,
        stride,
        scratch,
      ),
    selectLargest: wasm.selectLargest,
    updateLogSumExp: wasm.updateLogSumExp,
    scaleQueries: wasm.scaleQueries,
    mergeState: wasm.mergeState,
    normalize: wasm.normalize,
  };
  return withInt8Rows(kernels, viewsOf(memory));
}
