/** Drawing tokens from logits. */
export type { SamplingOptions } from './options.ts';
export type { Sampler } from './sampler.ts';
export { createSampler } from './sampler.ts';
