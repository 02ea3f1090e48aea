/** The model that a law belongs to: it is told by the hash of its file. */
import type { ModelConfig } from '@keysieve/llm';
import type { LawModel } from 'keysieve';
import { fileHash } from '../file-hash.ts';

/** What is known of a model that was opened. */
export interface LoadedModelFile {
  name: string;
  path: string;
  config: Pick<ModelConfig, 'layers' | 'heads' | 'keyValueHeads' | 'headDim'>;
}

/** Reads the whole file. */
export async function describeLawModel(
  { name, path, config }: LoadedModelFile,
  signal: AbortSignal,
): Promise<LawModel> {
  const { layers, heads, keyValueHeads, headDim } = config;
  return { name, hash: await fileHash(path, signal), layers, heads, keyValueHeads, headDim };
}
