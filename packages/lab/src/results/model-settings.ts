/** The model, and how it runs: what results depend on. */
import { defaultCachePrecision, type Model, type Scan } from '@keysieve/llm';
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
  /** What the sieve scans keys by. */
  scan: Scan;
  /** They decide how a sample is divided, and so which keys it has. */
  threads: number;
  /** Version of keysieve. */
  version: string;
};

/** How the caches of a result are kept. */
export interface CacheSettings {
  /** Precision of the cache. Default: as sessions have it. */
  cachePrecision?: Precision | undefined;
  /** What the sieve scans keys by. Default: as sessions have it. */
  scan?: Scan | undefined;
}

/** The settings of a loaded model. Hashes its file, once for each loaded model. */
export async function modelSettings(
  { name, hash, contextLength, precision, threads }: Model,
  { cachePrecision, scan = 'signs' }: CacheSettings,
  signal: AbortSignal,
): Promise<ModelSettings> {
  return {
    model: name,
    hash: await hash(signal),
    context: contextLength,
    precision,
    cachePrecision: cachePrecision ?? defaultCachePrecision(precision),
    scan,
    threads,
    version: packageVersion(),
  };
}
