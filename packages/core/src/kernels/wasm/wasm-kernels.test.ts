import { describeKernels } from '../kernels.conformance.ts';
import { createWasmKernels } from './wasm-kernels.ts';

describeKernels({ name: 'wasm', createKernels: createWasmKernels, shared: true });
