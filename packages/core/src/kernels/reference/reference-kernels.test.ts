import { describeKernels } from '../kernels.conformance.ts';
import { createReferenceKernels } from './reference-kernels.ts';

describeKernels({ name: 'reference', createKernels: createReferenceKernels, shared: false });
