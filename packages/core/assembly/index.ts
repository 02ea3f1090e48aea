/** What the compiled module offers; packages/core/src/kernels/kernels.ts says what each function does. */
export { boundScores } from './bounds';
export { addCodedValues } from './coded';
export { scoreCodes } from './codes';
export { attendDecode, attendSelected, scoreKeys } from './decode';
export { attendGathered } from './gathered';
export { storeHalf, storeSingle } from './half';
export { attendPrefill } from './prefill';
export { rotate, rotateBack } from './rotate';
export { drawKeys } from './draw';
export { estimateMass, poolScans, poolScores } from './pool';
export { sieve } from './sieve';
export { prepareCodes, scanSigns } from './scan';
export { seal } from './seal';
export { selectLargest } from './select';
export { finishState, mergeState, startState } from './softmax';
export { splitSample } from './split';
export { absorbMass } from './sums';
export { addValues, scoreSelected, weighScores } from './weighted';
