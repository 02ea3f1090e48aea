/** The implementations of the kernels. */
import type { Kernels } from './kernels.ts';
import { createReferenceKernels } from './reference/reference-kernels.ts';
import { createWasmKernels } from './wasm/wasm-kernels.ts';

export const KERNELS = { reference: createReferenceKernels, wasm: createWasmKernels } as const;

export type KernelsName = keyof typeof KERNELS;

/** Kernels over one arena's memory. */
export const createKernels = (name: KernelsName, memory: WebAssembly.Memory): Kernels => KERNELS[name](memory);
