/** Drawing tokens from logits. */
export { combineConstraints, type TokenConstraint } from './constraints.ts';
export { logProbabilities, type TokenProbabilities, type TokenProbability } from './log-probabilities.ts';
export type { SamplingOptions } from './options.ts';
export type { Sampler } from './sampler.ts';
export { createDraws, createSampler } from './sampler.ts';
