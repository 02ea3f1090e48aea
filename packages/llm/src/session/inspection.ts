/** What a model is, what memory it will take and how it would be run, without running it. */
import { createPolicy, type PolicySpec, type Precision } from 'keysieve';
import type { OptionNames } from 'keysieve/engine';
import { fullAttentionBelow } from 'keysieve/engine';
import type { SourceLocation } from '../io/source.ts';
import { inspectTransformerSegments, type ModelConfig } from '../model/index.ts';
import { type MatmulPrecision, residentWeights } from '../onnx/index.ts';
import { layerCacheBytes, selectiveLayers } from './layer-caches.ts';
import { checkLoadOptions, LOAD_OPTIONS, type LoadOptions, openModelFile } from './model-file.ts';
import { CHUNK_TOKENS, DEFAULT_ATTENTION, defaultCachePrecision } from './session.ts';
import { stepCosts } from './step-costs.ts';
import { chooseThreads } from './threads.ts';

/** The settings that a model is inspected for. */
export interface InspectOptions extends LoadOptions {
  /** Default: as in a session. */
  attention?: PolicySpec;
  /** Precision of the cache. Default: as in a session. */
  cachePrecision?: Precision | undefined;
}

const INSPECT_OPTIONS: OptionNames<InspectOptions> = { ...LOAD_OPTIONS, attention: true, cachePrecision: true };

/** Bytes that will be resident. */
export interface MemoryPrediction {
  /** Node and ONNX Runtime themselves, and the threads of the attention. */
  runtime: number;
  /** As texts of the context leave them: of a table of embeddings only what was read is in memory. */
  weights: number;
  tokenizer: number;
  /** A cache that is full to the context. */
  cache: number;
  /** What it would take if every layer kept all keys; the same where none has a window. */
  cacheWithoutWindows: number;
  cachePerToken: number;
  /** Activations of a chunk of the prompt, and the buffers of the attention. */
  work: number;
  total: number;
}

/** What a model is, what memory it needs and what settings would be used. */
export interface Inspection {
  name: string;
  path: string;
  config: ModelConfig & { parameters: number };
  /** Layers that policies select keys in, that keep a window of keys, and that read all keys because of a soft cap. */
  layerKinds: { selective: number; windowed: number; softCapped: number };
  /** Tensors of each type. */
  weights: Record<string, number>;
  context: { tokens: number; trained: number; ropeExtended: boolean };
  precision: {
    chosen: MatmulPrecision;
    reason: 'requested' | 'measured';
    /**
     * Mean KL divergence from exact predictions, in nats, and the tokens that it was measured on: of the chosen
     * precision, or of `a8`, where that is not near enough.
     */
    kl?: number;
    tokens?: number;
  };
  /** With the keys below which a step is dense, as measured on this machine; null where it is or is not always so. */
  attention: { policy: string; budget: string | null; fullAttentionBelow: number | null };
  memory: MemoryPrediction;
  /** Bytes of the file, and of what is prepared of it in the cache folder. */
  disk: { file: number; prepared: number };
}

/** Measured, on Node 20: a process that has loaded ONNX Runtime and our kernels, and each thread more. */
const RUNTIME_BYTES = 110 * 2 ** 20;
const THREAD_BYTES = 15 * 2 ** 20;
/** Measured: what V8 lets a thread's short-lived objects grow to, where it draws samples. */
const YOUNG_GENERATION_BYTES = 32 * 2 ** 20;
/** Measured: strings and maps of a token and of the merge that makes it. */
const TOKEN_BYTES = 800;
/** Buffers outside its heap that V8 lets pile up before it collects them. */
const GARBAGE_BYTES = 64 * 2 ** 20;

/** Looks a model up. Throws as `loadModel` does; measures the precision where that was not done before. */
export async function inspectModel(source: SourceLocation, options: InspectOptions = {}): Promise<Inspection> {
  checkLoadOptions(source, options, INSPECT_OPTIONS);
  const { attention = DEFAULT_ATTENTION } = options;
  const threads = await chooseThreads(options.threads);
  const policy = createPolicy(attention);
  await using file = await openModelFile(source, options);
  const choice = await file.choosePrecision();
  const chosen = typeof choice === 'string' ? choice : choice.chosen;
  const { config, memory, preparedBytes } = inspectTransformerSegments(file.gguf, chosen);
  const tokens = options.context ?? config.contextLength;
  const cachePrecision = options.cachePrecision ?? defaultCachePrecision(chosen);
  const tensors = [...file.gguf.tensors.values()];
  const { encodings } = policy;
  const sizes = { config, capacity: tokens, precision: cachePrecision, encodings, threads };
  const cache = layerCacheBytes(sizes, CHUNK_TOKENS);
  const everywhere = { ...config, layerAttention: config.layerAttention.map(() => ({})) };
  const unwindowed = layerCacheBytes({ ...sizes, config: everywhere }, CHUNK_TOKENS);
  const windowed = config.layerAttention.filter(({ window }) => window !== undefined).length;
  const selective = selectiveLayers(config).length;
  const costs = policy.mayFallBack
    ? await stepCosts({ ...config, precision: cachePrecision, threads }, options.cacheFolder)
    : undefined;
  const shortestSparse = (costs && fullAttentionBelow(policy, costs, tokens, config)) ?? null;
  const weights = residentWeights(memory, tokens);
  const work = cache.buffers + cache.open + activationBytes(config);
  const youngGenerationBytes = policy.budget === undefined ? 0 : threads * YOUNG_GENERATION_BYTES;
  const runtime = RUNTIME_BYTES + (threads - 1) * THREAD_BYTES + youngGenerationBytes;
  const tokenizer = config.vocabularySize * TOKEN_BYTES;
  return {
    name: file.name,
    path: file.path,
    config: {
      ...config,
      parameters: tensors.reduce((sum, { dimensions }) => sum + dimensions.reduce((a, b) => a * b, 1), 0),
    },
    layerKinds: { selective, windowed, softCapped: config.layers - selective - windowed },
    weights: countBy(tensors.map(({ type }) => type)),
    context: { tokens, trained: config.contextLength, ropeExtended: tokens > config.contextLength },
    precision: typeof choice === 'string' ? { chosen, reason: 'requested' } : { ...choice, reason: 'measured' },
    attention: {
      policy: policy.name,
      budget: policy.budget?.name ?? null,
      fullAttentionBelow: shortestSparse,
    },
    memory: {
      runtime,
      weights,
      tokenizer,
      cache: cache.cache,
      cacheWithoutWindows: windowed === 0 ? cache.cache : unwindowed.cache,
      cachePerToken: cache.cachePerToken,
      work,
      total: runtime + weights + tokenizer + cache.cache + work,
    },
    disk: { file: file.gguf.byteLength, prepared: preparedBytes },
  };
}

/** What the segments give out for a chunk, all layers together, as far as V8 lets it pile up. */
function activationBytes({ layers, hiddenSize, heads, keyValueHeads, headDim }: ModelConfig): number {
  const perToken = hiddenSize + 2 * (heads + keyValueHeads) * headDim;
  return Math.min(GARBAGE_BYTES, layers * CHUNK_TOKENS * perToken * 4);
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
