/** Writes models of a few layers with random weights, with the metadata and tensors that converted files have. */
import { type WrittenTensor, type WrittenValue, writeGguf } from '../gguf-writer.ts';
import { type TinyTokenizer, tokenizerMetadata } from './vocabularies.ts';
import { hashed, uniform } from './weights.ts';

export interface TinySizes {
  layers: number;
  hiddenSize: number;
  feedForwardSize: number;
  heads: number;
  keyValueHeads: number;
  headDim: number;
  experts?: number;
}

export interface BaseKeys {
  epsilon?: number;
  epsilonKey?: string;
  ropeTheta?: number | undefined;
  ropeDimensions?: number;
  keyLength?: boolean;
  vocabularySize?: boolean;
  context?: number;
}

export interface AttentionParts {
  /** Standard deviation of queries and keys. */
  spread?: number;
  norm?: boolean;
  normBias?: boolean;
  bias?: boolean;
  outputBias?: boolean;
  queryKeyNorm?: 'head' | 'full';
  fused?: boolean;
}

export interface MlpParts {
  gate?: boolean;
  norm?: boolean;
  normBias?: boolean;
  bias?: boolean;
  fused?: boolean;
}

interface Values {
  values: Float32Array;
  dimensions: readonly number[];
}

export class TinyModel {
  readonly architecture: string;
  readonly sizes: TinySizes;
  tokenizer: TinyTokenizer;
  readonly #seed: number;
  readonly #tensors = new Map<string, Values>();
  readonly #keys = new Map<string, WrittenValue>();

  constructor(architecture: string, tokenizer: TinyTokenizer, sizes: TinySizes, seed = 1) {
    this.architecture = architecture;
    this.tokenizer = tokenizer;
    this.sizes = sizes;
    this.#seed = seed;
  }

  /** Sets a metadata key of the architecture. */
  set(key: string, type: 'u32' | 'f32' | 'bool' | 'string', value: number | boolean | string): this {
    return this.setValue(key, { type, value });
  }

  setValue(key: string, value: WrittenValue): this {
    // A key that is set again moves to the end.
    this.#keys.delete(`${this.architecture}.${key}`);
    this.#keys.set(`${this.architecture}.${key}`, value);
    return this;
  }

  drop(key: string): this {
    this.#keys.delete(`${this.architecture}.${key}`);
    return this;
  }

  tensor(name: string, dimensions: readonly number[], values: Float32Array): this {
    this.#tensors.set(name, { values, dimensions });
    return this;
  }

  /** (rows, columns) */
  matrix(name: string, rows: number, columns: number, gain = 1, std = gain / Math.sqrt(columns)): this {
    return this.tensor(name, [columns, rows], uniform(name, rows * columns, std, this.#seed));
  }

  experts(name: string, rows: number, columns: number): this {
    const { experts = 0 } = this.sizes;
    const std = 1.5 / Math.sqrt(columns);
    return this.tensor(name, [columns, rows, experts], uniform(name, experts * rows * columns, std, this.#seed));
  }

  vector(name: string, length: number, std = 0.3, mean = 0): this {
    const values = uniform(name, length, std, this.#seed).map((value) => mean + value);
    return this.tensor(name, [length], values);
  }

  norm(name: string, length: number, { gain = 1, bias = false } = {}): this {
    this.vector(`${name}.weight`, length, gain * 0.25, gain);
    return bias ? this.vector(`${name}.bias`, length, 0.2) : this;
  }

  base(options: BaseKeys = {}): this {
    const { layers, hiddenSize, feedForwardSize, heads, keyValueHeads, headDim } = this.sizes;
    const ropeTheta = 'ropeTheta' in options ? options.ropeTheta : 10_000;
    this.set('block_count', 'u32', layers).set('context_length', 'u32', options.context ?? 2048);
    this.set('embedding_length', 'u32', hiddenSize).set('feed_forward_length', 'u32', feedForwardSize);
    this.set('attention.head_count', 'u32', heads).set('attention.head_count_kv', 'u32', keyValueHeads);
    if (ropeTheta !== undefined) this.set('rope.freq_base', 'f32', ropeTheta);
    this.set(options.epsilonKey ?? 'attention.layer_norm_rms_epsilon', 'f32', options.epsilon ?? 1e-5);
    if (options.keyLength) {
      this.set('attention.key_length', 'u32', headDim).set('attention.value_length', 'u32', headDim);
    }
    if (options.vocabularySize ?? true) this.set('vocab_size', 'u32', this.tokenizer.tokens.length);
    if (options.ropeDimensions !== undefined) this.set('rope.dimension_count', 'u32', options.ropeDimensions);
    return this;
  }

  embedding(tied: boolean, { logits = 3, normBias = false, std = 1 } = {}): this {
    const { hiddenSize } = this.sizes;
    const size = this.tokenizer.tokens.length;
    this.matrix('token_embd.weight', size, hiddenSize, 1, std);
    if (!tied)
      return this.norm('output_norm', hiddenSize, { bias: normBias }).matrix('output.weight', size, hiddenSize, logits);
    // Gains of random signs: a tied head would otherwise favour the token that was just read.
    const gain = logits / Math.sqrt(hiddenSize) / std;
    const gains = hashed('output_norm.weight', hiddenSize, this.#seed).map(
      (u) => (u < 0.5 ? -1 : 1) * gain * (0.75 + ((u * 2) % 1) * 0.5),
    );
    this.tensor('output_norm.weight', [hiddenSize], Float32Array.from(gains));
    return normBias ? this.vector('output_norm.bias', hiddenSize, 0.2) : this;
  }

  attention(layer: number, parts: AttentionParts = {}): this {
    const { hiddenSize, heads, keyValueHeads, headDim } = this.sizes;
    const { spread = 1.5, norm = true, queryKeyNorm } = parts;
    const block = `blk.${layer}`;
    const [query, key] = [heads * headDim, keyValueHeads * headDim];
    if (norm) this.norm(`${block}.attn_norm`, hiddenSize, { bias: parts.normBias ?? false });
    if (parts.fused) this.#fusedAttention(`${block}.attn_qkv`, query, key, spread, parts.bias ?? false);
    else {
      this.matrix(`${block}.attn_q.weight`, query, hiddenSize, spread);
      this.matrix(`${block}.attn_k.weight`, key, hiddenSize, spread);
      this.matrix(`${block}.attn_v.weight`, key, hiddenSize);
      if (parts.bias) {
        this.vector(`${block}.attn_q.bias`, query, 0.5).vector(`${block}.attn_k.bias`, key, 0.5);
        this.vector(`${block}.attn_v.bias`, key);
      }
    }
    this.matrix(`${block}.attn_output.weight`, hiddenSize, query, 1.5);
    if (parts.outputBias) this.vector(`${block}.attn_output.bias`, hiddenSize);
    if (queryKeyNorm === undefined) return this;
    const perHead = queryKeyNorm === 'head';
    this.norm(`${block}.attn_q_norm`, perHead ? headDim : query, { gain: 1.5 });
    return this.norm(`${block}.attn_k_norm`, perHead ? headDim : key, { gain: 1.5 });
  }

  #fusedAttention(name: string, query: number, key: number, spread: number, bias: boolean): void {
    const { hiddenSize } = this.sizes;
    const rows = query + 2 * key;
    const values = uniform(`${name}.weight`, rows * hiddenSize, 1 / Math.sqrt(hiddenSize), this.#seed);
    for (let i = 0; i < (query + key) * hiddenSize; i++) values[i] = (values[i] as number) * spread;
    this.tensor(`${name}.weight`, [hiddenSize, rows], values);
    if (bias) this.vector(`${name}.bias`, rows);
  }

  mlp(layer: number, { gate = true, norm = true, normBias = false, bias = false, fused = false }: MlpParts = {}): this {
    const { hiddenSize, feedForwardSize } = this.sizes;
    const block = `blk.${layer}`;
    const [apart, upRows] = [gate && !fused, feedForwardSize * (fused ? 2 : 1)];
    if (norm) this.norm(`${block}.ffn_norm`, hiddenSize, { bias: normBias });
    if (apart) this.matrix(`${block}.ffn_gate.weight`, feedForwardSize, hiddenSize, 1.5);
    this.matrix(`${block}.ffn_up.weight`, upRows, hiddenSize, 1.5);
    this.matrix(`${block}.ffn_down.weight`, hiddenSize, feedForwardSize, 1.5);
    if (!bias) return this;
    if (apart) this.vector(`${block}.ffn_gate.bias`, feedForwardSize);
    return this.vector(`${block}.ffn_up.bias`, upRows).vector(`${block}.ffn_down.bias`, hiddenSize);
  }

  mixture(layer: number, { bias = false, norm = 'ffn_norm', width = this.sizes.feedForwardSize } = {}): this {
    const { hiddenSize, experts = 0 } = this.sizes;
    const block = `blk.${layer}`;
    this.norm(`${block}.${norm}`, hiddenSize).matrix(`${block}.ffn_gate_inp.weight`, experts, hiddenSize, 1.5);
    this.experts(`${block}.ffn_gate_exps.weight`, width, hiddenSize);
    this.experts(`${block}.ffn_up_exps.weight`, width, hiddenSize);
    this.experts(`${block}.ffn_down_exps.weight`, hiddenSize, width);
    if (!bias) return this;
    this.vector(`${block}.ffn_gate_inp.bias`, experts);
    for (const [part, size] of Object.entries({ gate: width, up: width, down: hiddenSize })) {
      const name = `${block}.ffn_${part}_exps.bias`;
      this.tensor(name, [size, experts], uniform(name, experts * size, 0.3, this.#seed));
    }
    return this;
  }

  /** The file's bytes, under a name. */
  write(name: string): Buffer {
    const metadata: [string, WrittenValue][] = [
      ['general.architecture', { type: 'string', value: this.architecture }],
      ['general.type', { type: 'string', value: 'model' }],
      ['general.name', { type: 'string', value: name }],
      ['general.quantization_version', { type: 'u32', value: 2 }],
      ...this.#keys,
      ...tokenizerMetadata(this.tokenizer),
    ];
    const tensors = Array.from(this.#tensors, ([tensor, { values, dimensions }]): WrittenTensor => {
      const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      return { name: tensor, type: 'F32', dimensions, data };
    });
    return writeGguf({ metadata, tensors });
  }
}
