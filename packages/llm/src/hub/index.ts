/** Models on the Hugging Face hub. */

export type { ResolveModelOptions } from './resolve-model.ts';
export { resolveModel } from './resolve-model.ts';
export type { DownloadProgress } from './transfer.ts';
