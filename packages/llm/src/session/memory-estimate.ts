/** What a model takes in memory, from its header alone: nothing is measured, fetched or allocated for it. */
import { createPolicy } from 'keysieve';
import { DEFAULT_PRECISION } from '#platform';
import { openGguf } from '../gguf/index.ts';
import type { SourceLocation } from '../io/source.ts';
import { inspectTransformerSegments } from '../model/index.ts';
import { type MatmulPrecision, residentWeights } from '../onnx/index.ts';
import { layerCacheBytes } from './layer-caches.ts';
import { CHUNK_TOKENS, DEFAULT_ATTENTION, defaultCachePrecision } from './session.ts';

export interface MemoryEstimate {
  /** Tokens of a full cache. */
  context: number;
  /** Bytes of the weights as they are held. */
  weights: number;
  /** Bytes of a full cache, and of each further token in the layers that keep all of them. */
  cache: number;
  cachePerToken: number;
  /** Bytes of the buffers of the attention. */
  work: number;
  total: number;
}

export interface EstimateOptions {
  /** Tokens. Default: what the model was trained for. */
  context?: number | undefined;
  /** Default: as `loadModel` chooses in browsers, `fp32`. */
  precision?: MatmulPrecision | undefined;
  threads?: number | undefined;
}

/** The memory that a session of a model will take by default. Throws the codes of files and architectures. */
export async function estimateMemory(location: SourceLocation, options: EstimateOptions = {}): Promise<MemoryEstimate> {
  const { precision = DEFAULT_PRECISION ?? 'fp32', threads = 1 } = options;
  await using gguf = await openGguf(location);
  const { config, memory } = inspectTransformerSegments(gguf, precision);
  const { context = config.contextLength } = options;
  const sizes = {
    config,
    capacity: context,
    precision: defaultCachePrecision(precision),
    encodings: createPolicy(DEFAULT_ATTENTION).encodings,
    threads,
  };
  const { cache, cachePerToken, buffers, open } = layerCacheBytes(sizes, CHUNK_TOKENS);
  const weights = residentWeights(memory, context);
  const work = buffers + open;
  return { context, weights, cache, cachePerToken, work, total: weights + cache + work };
}
