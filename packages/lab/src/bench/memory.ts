/**
 * The memory of a long context: bytes of a token in the cache with each set of encodings, and resident memory of a
 * process whose cache is full. The cache is filled with random rows, since reading a text of that length would take hours
 * and show no more; the model is loaded beside it, and has read a chunk of a prompt.
 */
import { inspectModel, type LoadOptions, loadModel } from '@keysieve/llm';
import {
  type Attention,
  attentionBytes,
  createAttention,
  type PolicySpec,
  PRECISIONS,
  type Precision,
  policyEncodings,
} from 'keysieve';
import { registerBaselines } from '../baselines/index.ts';
import { createRandom } from '../numerics/random.ts';
import { type Spread, spreadOf } from '../numerics/spread.ts';
import { type WorkOptions, workOf, yieldToEventLoop } from '../work.ts';

/** What is filled. */
export interface BenchMemoryOptions extends WorkOptions {
  /** As `loadModel` takes it. */
  model: string;
  /** How the model is loaded, but for its context. */
  load?: Omit<LoadOptions, 'context' | 'signal'>;
  attention: PolicySpec;
  /** Precisions of the caches that are filled, one after the other. */
  precisions: readonly Precision[];
  /** Keys of a full cache, and the context that the model is loaded with. */
  tokens: number;
}

/** Bytes of caches and of the process. */
export interface MemoryResult {
  model: string;
  threads: number;
  tokens: number;
  encodingSets: EncodingSet[];
  filled: FilledCache[];
}

/** Bytes of a token in a cache that a policy reads. */
export interface EncodingSet {
  precision: Precision;
  policy: string;
  /** Encodings beside the exact rows; in an int8 cache they are all that is kept. */
  encodings: readonly string[];
  bytesPerToken: number;
}

/** A full cache. */
export interface FilledCache {
  attention: PolicySpec;
  precision: Precision;
  /** Bytes of the cache and of the attention's buffers. */
  bytes: number;
  /** Bytes of the whole process: as `inspectModel` predicts them, resident now, and at the peak so far. */
  predictedBytes: number;
  residentBytes: number;
  peakBytes: number;
  /** Milliseconds of the attention of all layers for one token after the last key. */
  stepMs: Spread;
}

const CHUNK = 512;
const STEPS = 8;
/** Policies whose encodings there are reasons to keep. */
const POLICIES: readonly PolicySpec[] = [
  { policy: 'dense' },
  { policy: 'sieve' },
  { policy: 'sieve', certify: 0.05 },
  { policy: 'quest' },
];

/** Fills caches beside a loaded model. Throws what `loadModel` throws, and `cache-out-of-memory`. */
export async function benchMemory(options: BenchMemoryOptions): Promise<MemoryResult> {
  const { attention, precisions, tokens } = options;
  const { signal, onProgress } = workOf(options);
  await registerBaselines();
  const load = { ...options.load, context: tokens, signal };
  await using model = await loadModel(options.model, load);
  const { config, threads } = model;
  const { layers, keyValueHeads, heads, headDim } = config;
  const sizes = { layers, keyValueHeads, heads, headDim, capacity: tokens, threads };
  const filled: FilledCache[] = [];
  for (const [i, precision] of precisions.entries()) {
    const inspected = await inspectModel(options.model, { ...load, threads, attention, cachePrecision: precision });
    await using session = await model.createSession({ attention, prefill: attention, cachePrecision: precision });
    const chunk = Int32Array.from({ length: Math.min(CHUNK, tokens) }, (_, j) => j % config.vocabularySize);
    for await (const _ of session.evaluate(chunk, { attention, chunkTokens: CHUNK, shareSamples: true, signal }));
    await session.dispose();
    await using full = await createAttention({ ...sizes, precision, encodings: policyEncodings(attention) });
    const noise = createNoise();
    await fill(full, noise, signal, (done) => onProgress('filling', i * tokens + done, precisions.length * tokens));
    const stepMs = spreadOf(Array.from({ length: STEPS }, () => timeStep(full, noise, attention)));
    filled.push({
      attention,
      precision,
      bytes: full.bytes,
      predictedBytes: inspected.memory.total,
      residentBytes: process.memoryUsage.rss(),
      peakBytes: process.resourceUsage().maxRSS * 1024,
      stepMs,
    });
  }
  const encodingSets = PRECISIONS.flatMap((precision) =>
    POLICIES.map((spec): EncodingSet => {
      const encodings = policyEncodings(spec);
      const bytesPerToken = attentionBytes({ ...sizes, precision, encodings }, CHUNK).cachePerToken;
      const policy = spec.certify === undefined ? spec.policy : `${spec.policy}, certified`;
      return { precision, policy, encodings, bytesPerToken };
    }),
  );
  return { model: model.name, threads, tokens, encodingSets, filled };
}

type Noise = (count: number) => Float32Array;

async function fill(
  { cache }: Attention,
  noise: Noise,
  signal: AbortSignal,
  onFill: (done: number) => void,
): Promise<void> {
  const { layers, keyValueHeads, headDim } = cache.shape;
  for (let done = 0; done < cache.capacity; ) {
    const count = Math.min(CHUNK, cache.capacity - done);
    const [keys, values] = [noise(count * keyValueHeads * headDim), noise(count * keyValueHeads * headDim)];
    cache.reserve(count);
    for (let layer = 0; layer < layers; layer++) cache.write(layer, done, keys, values);
    done += count;
    cache.commit(done);
    onFill(done);
    await yieldToEventLoop(signal);
  }
}

function timeStep(attention: Attention, noise: Noise, policy: PolicySpec): number {
  const { cache, heads } = attention;
  const queries = noise(heads * cache.shape.headDim);
  const started = performance.now();
  for (let layer = 0; layer < cache.shape.layers; layer++) {
    attention.attend({ layer, position: cache.length - 1, queries, policy });
  }
  return performance.now() - started;
}

/** Uniform numbers from -1 to 1. */
function createNoise(): Noise {
  const { uniform } = createRandom(1);
  return (count) => Float32Array.from({ length: count }, () => 2 * uniform() - 1);
}
