/** Models on the Hugging Face hub. */
export type { DownloadProgress } from './download.ts';
export type { ResolveModelOptions } from './resolve-model.ts';
export { resolveModel } from './resolve-model.ts';
