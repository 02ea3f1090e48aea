/** Reads how a model scales RoPE from its metadata and tensors (`rope.*`), as llama.cpp does. */
import type { ModelHeader } from './config.ts';
import { unsupported } from './model-keys.ts';
import type { RopeFactors, RopeSpec } from './rope.ts';
import type { TensorSource } from './tensor-source.ts';

const SCALINGS = ['none', 'linear', 'yarn', 'longrope'];

/** What YaRN is tuned by. */
interface YarnTuning {
  /** Turns in the original context above which a pair's angle is kept, and below which it is divided. */
  betaFast: number;
  betaSlow: number;
  /** Weight of the logarithm in the denominator of the magnitude. */
  logWeight: number;
}

/** The tuning of the paper (arXiv 2309.00071, section 3.2). */
const DEFAULT_TUNING: YarnTuning = { betaFast: 32, betaSlow: 1, logWeight: 0 };

/** RoPE as metadata and tensors say. Throws `unsupported-architecture` for a way of scaling that is not known. */
export function readRope(header: ModelHeader, tensors: TensorSource, tuning: Partial<YarnTuning> = {}): RopeSpec {
  const { keys, ropeTheta, ropeDimensions, contextLength } = header;
  // A factor without a type is linear.
  const scaling = keys.text('rope.scaling.type', 'linear');
  if (!SCALINGS.includes(scaling)) throw unsupported('The model scales RoPE in a way that is not supported.', scaling);
  const factor = keys.positiveOrNone('rope.scaling.factor') ?? keys.positiveOrNone('rope.scale_linear') ?? 1;
  const originalContext = keys.count('rope.scaling.original_context_length', 2 ** 31, contextLength);
  const magnitude = keys.positive('rope.scaling.attn_factor', 1);
  const factors = findFactors(tensors, ropeDimensions / 2, originalContext);
  const plain = { theta: ropeTheta, dimensions: ropeDimensions, trainedContext: contextLength, factors };
  if (scaling === 'none') return { ...plain, divisor: 1, magnitude };
  if (scaling !== 'yarn') return { ...plain, divisor: factor, magnitude };
  const { betaFast, betaSlow, logWeight } = { ...DEFAULT_TUNING, ...tuning };
  return {
    ...plain,
    divisor: factor,
    yarn: { originalContext, betaFast, betaSlow },
    magnitude: magnitude * yarnMagnitude(factor, logWeight),
  };
}

/**
 * What YaRN multiplies cosines and sines by: 1 + .1 ln factor (arXiv 2309.00071, equation 22), over 1 + .1 weight ln
 * factor in models that were trained so (arXiv 2405.04434, `mscale_all_dim`).
 */
function yarnMagnitude(factor: number, logWeight: number): number {
  const log = 0.1 * Math.log(factor);
  return (1 + log) / (1 + logWeight * log);
}

/** `rope_freqs` holds one set of factors; longrope has one for short and one for long contexts. */
function findFactors(tensors: TensorSource, pairs: number, originalContext: number): RopeFactors | undefined {
  const [freqs, short, long] = ['rope_freqs', 'rope_factors_short', 'rope_factors_long'].map((name) =>
    tensors.find(`${name}.weight`, [pairs]),
  );
  if (freqs !== undefined) return { short: freqs, long: freqs, originalContext };
  return short && long && { short, long, originalContext };
}
