/** A decoder as a file describes it: its sizes, the table of its architecture, and its tensors. */
import type { GgufFile } from '../../gguf/index.ts';
import type { Architecture } from './architecture.ts';
import { type ModelConfig, type ModelHeader, readModelHeader } from './config.ts';
import { unsupported } from './model-keys.ts';
import { createTensorSource } from './tensor-source.ts';
import { type DecoderTensors, findDecoderTensors } from './tensors.ts';
import { type DecoderTraits, llamaTraits } from './traits.ts';

export interface Decoder {
  readonly config: ModelConfig;
  readonly traits: DecoderTraits;
  /** Added to variances before norms divide by their root. */
  readonly epsilon: number;
  readonly tensors: DecoderTensors;
}

/**
 * Reads the header of a file of an architecture. Throws `unsupported-architecture`, `metadata-missing`, `gguf-invalid`, `tensor-missing` and
 * `tensor-shape-mismatch`.
 */
export function describeDecoder(gguf: GgufFile, architecture: Architecture): Decoder {
  const header = readModelHeader(gguf, architecture.name);
  const experts = header.keys.has('expert_count') ? header.keys.positiveOrNone('expert_count') : undefined;
  if (experts !== undefined) throw unsupported('The model is a mixture of experts.', `${experts} experts`);
  const source = createTensorSource(gguf);
  const traits = { ...llamaTraits(header, source), ...architecture.describe(header, source) };
  const { keys, feedForwardSizes: _, ...sizes } = header;
  const tensors = findDecoderTensors(source, header, traits);
  source.requireAllUsed();
  return {
    config: { ...sizes, layerAttention: layerAttention(header, traits) },
    traits,
    epsilon: keys.positive(traits.norm === 'rms' ? 'attention.layer_norm_rms_epsilon' : 'attention.layer_norm_epsilon'),
    tensors,
  };
}

function layerAttention({ layers }: ModelHeader, { window, attentionSoftCap }: DecoderTraits) {
  return Array.from({ length: layers }, (_, layer) => ({ window: window(layer), softCap: attentionSoftCap }));
}
