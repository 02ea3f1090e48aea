/** The implementations of the kernels. */
import { invariant } from '../errors.ts';
import type { Kernels } from './kernels.ts';
import { createReferenceKernels } from './reference/reference-kernels.ts';
import { createWasmKernels } from './wasm/wasm-kernels.ts';

export const KERNELS = { reference: createReferenceKernels, wasm: createWasmKernels } as const;

/** Which kernels: `wasm`, or the slow `reference`. */
export type KernelsName = keyof typeof KERNELS;

/**
 * Kernels over one arena's memory, of which they have PARAMETER_BYTES from `parameters` on to themselves. Throws
 * `invalid-argument` for an unknown name.
 */
export function createKernels(name: KernelsName, memory: WebAssembly.Memory, parameters: number): Kernels {
  invariant(Object.hasOwn(KERNELS, name), () => ({
    code: 'invalid-argument',
    problem: 'There are no such kernels.',
    found: name,
    remedy: `Choose one of ${Object.keys(KERNELS).join(', ')}.`,
  }));
  return KERNELS[name](memory, parameters);
}
