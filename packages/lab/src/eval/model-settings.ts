/** What results depend on of the model and of how it is run. */
import { defaultCachePrecision, type Model } from '@keysieve/llm';
import type { Precision } from 'keysieve';
import { fileHash } from '../file-hash.ts';
import { packageVersion } from '../package-file.ts';

export type ModelSettings = {
  model: string;
  /** SHA-256 of the GGUF file. */
  hash: string;
  context: number;
  precision: string;
  cachePrecision: string;
  /** Of keysieve. */
  version: string;
};

export async function modelSettings(
  { name, path, contextLength, precision }: Model,
  cachePrecision: Precision | undefined,
  signal: AbortSignal,
): Promise<ModelSettings> {
  return {
    model: name,
    hash: await fileHash(path, signal),
    context: contextLength,
    precision,
    cachePrecision: cachePrecision ?? defaultCachePrecision(precision),
    version: packageVersion(),
  };
}
