/** Drawing tokens from logits. */
export { logProbabilities, type TokenProbabilities, type TokenProbability } from './log-probabilities.ts';
export type { SamplingOptions } from './options.ts';
export type { Sampler, TokenConstraint } from './sampler.ts';
export { createSampler } from './sampler.ts';
