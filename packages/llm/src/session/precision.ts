/**
 * Chooses the precision of the dense layers: the fast one, where its predictions are as good as the exact one's. The
 * measure is the mean KL divergence of its next-token distributions from the exact ones over a short text, with dense
 * attention, measured once for a model and kept beside its prepared segments.
 */
import { createAttention } from 'keysieve';
import type { GgufFile } from '../gguf/index.ts';
import { type Calibration, type DenseModel, readCalibration, writeCalibration } from '../model/index.ts';
import type { Precision as DensePrecision } from '../onnx/index.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import { CALIBRATION_TEXT } from './calibration-text.ts';
import type { LoadProgress } from './model-file.ts';

/** Largest mean KL divergence, in nats, at which `fast` is the default. */
export const LARGEST_KL = 0.005;

export interface PrecisionChoice extends Calibration {
  chosen: DensePrecision;
}

export interface PrecisionParts {
  gguf: GgufFile;
  tokenizer: Tokenizer;
  load(precision: DensePrecision): Promise<DenseModel>;
  cacheFolder: string | undefined;
  signal: AbortSignal | undefined;
  onProgress: ((progress: LoadProgress) => void) | undefined;
}

const MOST_TOKENS = 256;

/** The precision to use by default. Measures it where that has not been done for this model. */
export async function choosePrecision(parts: PrecisionParts): Promise<PrecisionChoice> {
  const known = await readCalibration(parts.gguf, parts.cacheFolder);
  const { kl, tokens } = known ?? (await measure(parts));
  if (known === undefined) await writeCalibration(parts.gguf, parts.cacheFolder, { kl, tokens });
  return { chosen: kl < LARGEST_KL ? 'fast' : 'exact', kl, tokens };
}

async function measure(parts: PrecisionParts): Promise<Calibration> {
  const tokens = parts.tokenizer.encode(CALIBRATION_TEXT).subarray(0, MOST_TOKENS);
  const exact = await predictions(parts, 'exact', tokens, 0);
  const fast = await predictions(parts, 'fast', tokens, 1);
  const vocabulary = exact.length / tokens.length;
  let sum = 0;
  for (let row = 0; row < tokens.length; row++) {
    const at = row * vocabulary;
    sum += klDivergence(exact.subarray(at, at + vocabulary), fast.subarray(at, at + vocabulary));
  }
  return { kl: sum / tokens.length, tokens: tokens.length };
}

/** Logits of every token (tokens, vocabulary). */
async function predictions(parts: PrecisionParts, precision: DensePrecision, tokens: Int32Array, run: number) {
  const { load, signal, onProgress } = parts;
  await using dense = await load(precision);
  const { layers, keyValueHeads, headDim, heads } = dense.config;
  const shape = { layers, keyValueHeads, headDim, heads, precision: 'f32' } as const;
  await using attention = await createAttention({ ...shape, capacity: tokens.length });
  attention.cache.reserve(tokens.length);
  const logits = await dense.forward(
    tokens,
    0,
    (layer, { q, k, v }) => {
      attention.cache.write(layer, 0, k, v);
      const done = Math.round(((run + (layer + 1) / layers) / 2) * tokens.length);
      onProgress?.({ phase: 'calibrate', done, total: tokens.length });
      return attention.attend({ layer, position: 0, queries: q, policy: { policy: 'dense' } }).outputs;
    },
    { logits: 'all', ...(signal === undefined ? {} : { signal }) },
  );
  return logits as Float32Array;
}

/** KL(softmax(p) || softmax(q)) of two rows of logits, in nats. */
export function klDivergence(p: Float32Array, q: Float32Array): number {
  const logZ = (row: Float32Array) => {
    const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    return largest + Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0));
  };
  const zp = logZ(p);
  const zq = logZ(q);
  return p.reduce((sum, x, i) => sum + Math.exp(x - zp) * (x - zp - ((q[i] as number) - zq)), 0);
}
