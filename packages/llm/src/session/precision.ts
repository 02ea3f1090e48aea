/**
 * Chooses the precision of the dense layers: the fastest one whose predictions are as good as the exact one's. The
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

/** Largest mean KL divergence, in nats, at which a rounded precision is the default. */
export const LARGEST_KL = 0.005;

export interface PrecisionChoice extends Calibration {
  /** Where no rounded one does, `kl` is that of the best of them. */
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

/** The fastest first. */
const ROUNDED = ['fastest', 'fast'] as const;

/** The precision to use by default. Measures it where that has not been done for this model. */
export async function choosePrecision(parts: PrecisionParts): Promise<PrecisionChoice> {
  const { gguf, cacheFolder } = parts;
  let exact: Float32Array | undefined;
  let measured: Calibration = { kl: Number.POSITIVE_INFINITY, tokens: 0 };
  for (const [run, chosen] of ROUNDED.entries()) {
    const known = await readCalibration(gguf, chosen, cacheFolder);
    if (known === undefined) {
      const tokens = parts.tokenizer.encode(CALIBRATION_TEXT).subarray(0, MOST_TOKENS);
      exact ??= await predictions(parts, 'exact', tokens, 0);
      const found = await predictions(parts, chosen, tokens, run + 1);
      measured = { kl: meanDivergence(exact, found, tokens.length), tokens: tokens.length };
      await writeCalibration(gguf, chosen, cacheFolder, measured);
    } else measured = known;
    if (measured.kl < LARGEST_KL) return { chosen, ...measured };
  }
  return { chosen: 'exact', ...measured };
}

function meanDivergence(exact: Float32Array, found: Float32Array, tokens: number): number {
  const width = exact.length / tokens;
  let sum = 0;
  for (let at = 0; at < exact.length; at += width) {
    sum += klDivergence(exact.subarray(at, at + width), found.subarray(at, at + width));
  }
  return sum / tokens;
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
      const done = Math.round(((run + (layer + 1) / layers) / (1 + ROUNDED.length)) * tokens.length);
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
