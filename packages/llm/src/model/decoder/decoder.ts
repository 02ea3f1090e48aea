/** A decoder as a file describes it: its sizes, the table of its architecture, and its tensors. */
import type { GgufFile, GgufTensor } from '../../gguf/index.ts';
import type { Architecture } from './architecture.ts';
import { type ModelConfig, type ModelHeader, readModelHeader } from './config.ts';
import { unsupported } from './model-keys.ts';
import { readExperts } from './read-experts.ts';
import { createTensorSource, type TensorSource } from './tensor-source.ts';
import { type DecoderTensors, findDecoderTensors } from './tensors.ts';
import { type DecoderTraits, llamaTraits } from './traits.ts';

export interface Decoder {
  readonly config: ModelConfig;
  readonly traits: DecoderTraits;
  /** Added to variances before norms divide by their root. */
  readonly epsilon: number;
  readonly tensors: DecoderTensors;
  /** Learned scores of the query heads (heads) by layer, undefined for layers without. */
  readonly sinks: readonly (GgufTensor | undefined)[];
}

/**
 * Reads the header of a file of an architecture. Throws `unsupported-architecture`, `metadata-missing`, `gguf-invalid`, `tensor-missing` and
 * `tensor-shape-mismatch`.
 */
export function describeDecoder(gguf: GgufFile, architecture: Architecture): Decoder {
  const header = readModelHeader(gguf, architecture.name);
  const source = createTensorSource(gguf);
  const traits = { ...llamaTraits(header, source), ...architecture.describe(header, source) };
  const experts = readExperts(header);
  if (experts !== undefined && traits.experts === undefined) {
    throw unsupported('This architecture is not known to have experts.', `${experts.count} experts`);
  }
  const { keys, feedForwardSizes: _, ...sizes } = header;
  const tensors = findDecoderTensors(source, header, traits);
  const sinks = Array.from({ length: header.layers }, (_, layer) => findSinks(source, header, traits, layer));
  source.requireAllUsed();
  return {
    config: { ...sizes, ropePairs: traits.ropePairs, layerAttention: layerAttention(header, traits) },
    sinks,
    traits,
    epsilon: keys.positive(traits.norm === 'rms' ? 'attention.layer_norm_rms_epsilon' : 'attention.layer_norm_epsilon'),
    tensors,
  };
}

function findSinks(source: TensorSource, { heads }: ModelHeader, { sinks }: DecoderTraits, layer: number) {
  return sinks ? source.get(`blk.${layer}.attn_sinks.weight`, [heads]) : undefined;
}

/** The values of sinks are zeros here: only reading the file's tensors gives them. */
function layerAttention({ layers, heads }: ModelHeader, { window, attentionSoftCap, sinks }: DecoderTraits) {
  return Array.from({ length: layers }, (_, layer) => ({
    window: window(layer),
    softCap: attentionSoftCap,
    ...(sinks && { sinks: new Array<number>(heads).fill(0) }),
  }));
}
