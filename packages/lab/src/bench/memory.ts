/**
 * Memory of a long context: what a token takes with every set of planes, and what a process holds whose cache is full.
 * The cache is filled with random rows, since reading as long a text would take longer than filling tells; the model is
 * loaded beside it, and has read a chunk of a prompt.
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
import { createRandom } from '../numerics/random.ts';
import { type Spread, spreadOf } from '../numerics/spread.ts';

export interface MemoryOptions extends Omit<LoadOptions, 'context'> {
  model: string;
  attention: PolicySpec;
  /** Of the caches that are filled, one after the other. */
  precisions: readonly Precision[];
  /** Keys of a full cache, and the context that the model is loaded with. */
  tokens: number;
  signal: AbortSignal;
  onFill(done: number, total: number): void;
}

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
  /** Beside the exact rows; of an int8 cache all there is. */
  encodings: readonly string[];
  bytesPerToken: number;
}

export interface FilledCache {
  attention: PolicySpec;
  precision: Precision;
  /** Of the cache and of the attention's buffers. */
  bytes: number;
  /** Of the whole process: what `inspect` predicts, what it holds, and the most that it has held so far. */
  predictedBytes: number;
  residentBytes: number;
  peakBytes: number;
  /** Milliseconds of a step of decoding behind the last key, attention of all layers alone. */
  stepMs: Spread;
}

const CHUNK = 512;
const STEPS = 8;
/** The sets of planes that there are reasons to choose. */
const POLICIES: readonly PolicySpec[] = [
  { policy: 'dense' },
  { policy: 'sieve' },
  { policy: 'sieve', certify: 0.05 },
  { policy: 'quest' },
];

export async function benchMemory(options: MemoryOptions): Promise<MemoryResult> {
  const { attention, precisions, tokens, signal, onFill } = options;
  const load = { ...options, context: tokens };
  await using model = await loadModel(options.model, load);
  const { config, threads } = model;
  const sizes = { ...config, capacity: tokens, threads };
  const filled: FilledCache[] = [];
  for (const [i, precision] of precisions.entries()) {
    const inspected = await inspectModel(options.model, { ...load, threads, attention, cachePrecision: precision });
    await using session = await model.createSession({ attention, prefill: attention, cachePrecision: precision });
    const chunk = Int32Array.from({ length: Math.min(CHUNK, tokens) }, (_, j) => j % config.vocabularySize);
    for await (const _ of session.evaluate(chunk, { attention, chunkTokens: CHUNK, shareSamples: true, signal }));
    await session.dispose();
    await using full = await createAttention({ ...sizes, precision, encodings: policyEncodings(attention) });
    const noise = createNoise();
    await fill(full, noise, signal, (done) => onFill(i * tokens + done, precisions.length * tokens));
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
    // Otherwise neither an interrupt nor the progress would come through.
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
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
