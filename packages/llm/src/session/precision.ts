/**
 * Chooses the precision of the dense layers: the fastest one whose predictions are as good as the exact one's. The
 * measure is the mean KL divergence of its next-token distributions from the exact ones over a short text, with dense
 * attention, measured once for a model and kept beside its prepared segments.
 */
import type { GgufFile } from '../gguf/index.ts';
import { type Calibration, readCalibration, type TransformerSegments, writeCalibration } from '../model/index.ts';
import type { MatmulPrecision } from '../onnx/index.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import { CALIBRATION_TEXT } from './calibration-text.ts';
import { klDivergence } from './divergence.ts';
import { runInFull } from './full-pass.ts';
import type { LoadStretch } from './load-progress.ts';

/** The fastest first. */
const QUANTIZED_PRECISIONS = ['w8a8', 'a8'] as const;

/**
 * Largest mean KL divergence, in nats, at which a rounded precision is the default. `a8` rounds what llama.cpp rounds of every
 * quantized file, which is .0048 nats off on Gemma 3 270M, where `a8` is .0054: it may be twice as far off as that.
 */
export const MAX_KL: Record<(typeof QUANTIZED_PRECISIONS)[number], number> = { w8a8: 0.005, a8: 0.01 };

export interface PrecisionChoice extends Calibration {
  /** Where no rounded one does, `kl` is that of the best of them. */
  chosen: MatmulPrecision;
}

export interface PrecisionParts {
  gguf: GgufFile;
  tokenizer: Tokenizer;
  load(precision: MatmulPrecision, stretch: LoadStretch): Promise<TransformerSegments>;
  cacheFolder: string | undefined;
  signal: AbortSignal | undefined;
  loading: LoadStretch;
}

const MAX_CALIBRATION_TOKENS = 256;

/** What loading takes of a run, roughly. */
const LOADED_SHARE = 0.7;

/** The precision to use by default. Measures it where that has not been done for this model. */
export async function choosePrecision(parts: PrecisionParts): Promise<PrecisionChoice> {
  const { gguf, cacheFolder } = parts;
  let reference: Float32Array | undefined;
  let calibration: Calibration = { kl: Number.POSITIVE_INFINITY, tokens: 0 };
  for (const [run, chosen] of QUANTIZED_PRECISIONS.entries()) {
    const cached = await readCalibration(gguf, chosen, cacheFolder);
    if (cached === undefined) {
      const tokens = parts.tokenizer.encode(CALIBRATION_TEXT, { special: false }).subarray(0, MAX_CALIBRATION_TOKENS);
      reference ??= await predictions(parts, 'fp32', tokens, 0);
      const approximate = await predictions(parts, chosen, tokens, run + 1);
      const count = reference.length / parts.tokenizer.vocabularySize;
      calibration = { kl: meanDivergence(reference, approximate, count), tokens: count };
      await writeCalibration(gguf, chosen, cacheFolder, calibration);
    } else calibration = cached;
    if (calibration.kl < MAX_KL[chosen]) return { chosen, ...calibration };
  }
  return { chosen: 'fp32', ...calibration };
}

function meanDivergence(reference: Float32Array, approximate: Float32Array, tokens: number): number {
  const width = reference.length / tokens;
  let sum = 0;
  for (let at = 0; at < reference.length; at += width) {
    sum += klDivergence(reference.subarray(at, at + width), approximate.subarray(at, at + width));
  }
  return sum / tokens;
}

/** Logits of every token (tokens, vocabulary), of as many tokens as the model's context holds. */
async function predictions(parts: PrecisionParts, precision: MatmulPrecision, text: Int32Array, run: number) {
  const { load, signal, loading } = parts;
  const runs = 1 + QUANTIZED_PRECISIONS.length;
  const stretch = loading.part(run / runs, (run + 1) / runs);
  const running = stretch.part(LOADED_SHARE, 1);
  await using segments = await load(precision, stretch.part(0, LOADED_SHARE));
  const tokens = text.subarray(0, segments.context);
  const { layers } = segments.config;
  const logits = await runInFull(segments, tokens, {
    logits: 'all',
    signal,
    onLayer(layer) {
      const done = Math.round(((layer + 1) / layers) * tokens.length);
      running.report({ phase: 'calibrate', done, total: tokens.length });
    },
  });
  return logits as Float32Array;
}
