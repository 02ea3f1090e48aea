/** What the compiled module offers; packages/core/src/kernels/kernels.ts says what each function does. */
export { attendDecode, attendSelected, scoreKeys } from './decode';
export { storeHalf, storeSingle } from './half';
export { attendPrefill } from './prefill';
export { selectLargest } from './select';
export { finishState, mergeState, startState } from './softmax';
export { absorbMass } from './sums';
