/** The model, and how it runs: what results depend on. */
import { defaultCachePrecision, type Model } from '@keysieve/llm';
import type { Precision } from 'keysieve';
import { packageVersion } from '../package-file.ts';

/** The settings of a model that results depend on. */
export type ModelSettings = {
  model: string;
  /** SHA-256 of the GGUF file. */
  hash: string;
  context: number;
  precision: string;
  cachePrecision: string;
  /** They decide how a sample is divided, and so which keys it has. */
  threads: number;
  /** Version of keysieve. */
  version: string;
};

/** The settings of a loaded model. Hashes its file, once for each loaded model. */
export async function modelSettings(
  { name, hash, contextLength, precision, threads }: Model,
  cachePrecision: Precision | undefined,
  signal: AbortSignal,
): Promise<ModelSettings> {
  return {
    model: name,
    hash: await hash(signal),
    context: contextLength,
    precision,
    cachePrecision: cachePrecision ?? defaultCachePrecision(precision),
    threads,
    version: packageVersion(),
  };
}
