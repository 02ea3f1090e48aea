/** A small model of every architecture, and variations of Llama, by name. */
import {
  bytePairTokenizer,
  type Corpus,
  type PieceOptions,
  sentencePieceTokenizer,
  type TinyTokenizer,
} from './vocabularies.ts';
import { type AttentionParts, type BaseKeys, type MlpParts, TinyModel, type TinySizes } from './writer.ts';

const SMALL: TinySizes = { layers: 4, hiddenSize: 64, feedForwardSize: 96, heads: 4, keyValueHeads: 2, headDim: 16 };
/** The head's size is not hidden size over heads. */
const WIDE: TinySizes = { ...SMALL, headDim: 32 };
const TWO_HEADS: TinySizes = { ...SMALL, heads: 2, headDim: 32 };

const CHATML =
  "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const LLAMA3 =
  "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'" +
  " + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ " +
  "'<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
const GEMMA =
  "{{ bos_token }}{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else " +
  "message['role'] %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";
const MISTRAL =
  "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + " +
  "message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}";

const CHATML_TOKENS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];

const llama3Tokenizer = (corpus: Corpus) =>
  bytePairTokenizer(
    corpus,
    'llama-bpe',
    ['<|begin_of_text|>', '<|end_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'],
    { ids: { bos: '<|begin_of_text|>', eos: '<|eot_id|>' }, template: LLAMA3 },
  );
const qwenTokenizer = (corpus: Corpus) =>
  bytePairTokenizer(corpus, 'qwen2', CHATML_TOKENS, {
    ids: { bos: '<|endoftext|>', eos: '<|im_end|>', padding: '<|endoftext|>' },
    flags: { add_bos_token: false },
    template: CHATML,
  });
const chatmlTokenizer = (corpus: Corpus, pre: string) =>
  bytePairTokenizer(corpus, pre, CHATML_TOKENS, { ids: { bos: '<|im_start|>', eos: '<|im_end|>' }, template: CHATML });

const PIECE_IDS = { bos: '<s>', eos: '</s>', unknown: '<unk>' };
const BEGIN_ONLY = { add_bos_token: true, add_eos_token: false };
const pieces = (
  corpus: Corpus,
  options: PieceOptions,
  rest: Partial<Pick<TinyTokenizer, 'ids' | 'flags' | 'template'>> = {},
) => sentencePieceTokenizer(corpus, options, { ids: PIECE_IDS, flags: BEGIN_ONLY, ...rest });
const mistralTokenizer = (corpus: Corpus, rest: Partial<Pick<TinyTokenizer, 'ids' | 'flags'>> = {}) =>
  pieces(corpus, { control: ['[INST]', '[/INST]'] }, { template: MISTRAL, ...rest });
const phi3Tokenizer = (corpus: Corpus) =>
  pieces(
    corpus,
    { control: ['<|endoftext|>', '<|assistant|>', '<|user|>', '<|end|>'] },
    { ids: { ...PIECE_IDS, eos: '<|endoftext|>' }, flags: { ...BEGIN_ONLY, add_space_prefix: true } },
  );
const gemmaTokenizer = (corpus: Corpus) =>
  pieces(
    corpus,
    {
      control: ['<start_of_turn>', '<end_of_turn>'],
      userDefined: ['\n', '\n\n', '  ', '    ', '<table>'],
      crossing: true,
    },
    {
      ids: { ...PIECE_IDS, eot: '<end_of_turn>' },
      flags: { ...BEGIN_ONLY, add_space_prefix: false },
      template: GEMMA,
    },
  );

interface LayerParts {
  base?: BaseKeys;
  tied?: boolean;
  embedding?: { logits?: number; normBias?: boolean; std?: number };
  attention?: AttentionParts;
  mlp?: MlpParts;
  postNorms?: boolean;
}

/** A model whose layers are all alike. */
function dense(architecture: string, tokenizer: TinyTokenizer, sizes: TinySizes, parts: LayerParts): TinyModel {
  const model = new TinyModel(architecture, tokenizer, sizes).base(parts.base);
  model.embedding(parts.tied ?? false, parts.embedding);
  for (let layer = 0; layer < sizes.layers; layer++) {
    model.attention(layer, parts.attention).mlp(layer, parts.mlp);
    if (!parts.postNorms) continue;
    for (const norm of ['post_attention_norm', 'post_ffw_norm']) model.norm(`blk.${layer}.${norm}`, sizes.hiddenSize);
  }
  return model;
}

interface LlamaOptions extends LayerParts {
  tokenizer?: TinyTokenizer;
  sizes?: TinySizes;
  ropeTheta?: number;
}

function llama(corpus: Corpus, { sizes = SMALL, ropeTheta = 10_000, ...options }: LlamaOptions = {}): TinyModel {
  const { tokenizer = llama3Tokenizer(corpus), ...parts } = options;
  const keyLength = sizes.headDim * sizes.heads !== sizes.hiddenSize;
  return dense('llama', tokenizer, sizes, { base: { ropeTheta, ropeDimensions: sizes.headDim, keyLength }, ...parts });
}

/** A llama with keys of `rope.scaling`. */
function scaled(
  corpus: Corpus,
  type: string | undefined,
  factor: number | undefined,
  keys: Record<string, number> = {},
) {
  const model = llama(corpus, { sizes: WIDE });
  if (type !== undefined) model.set('rope.scaling.type', 'string', type);
  if (factor !== undefined) model.set('rope.scaling.factor', 'f32', factor);
  for (const [key, value] of Object.entries(keys)) {
    model.set(`rope.scaling.${key}`, Number.isInteger(value) ? 'u32' : 'f32', value);
  }
  return model;
}

/** Equally spaced numbers. */
function spaced(from: number, to: number, count: number): Float32Array {
  const step = (to - from) / (count - 1);
  return Float32Array.from({ length: count }, (_, i) => (i === count - 1 ? to : from + i * step));
}

function longrope(
  model: TinyModel,
  pairs: number,
  shortTo: number,
  longTo: number,
  order: readonly string[],
): TinyModel {
  for (const name of order) {
    const to = name === 'short' ? shortTo : longTo;
    model.tensor(`rope_factors_${name}.weight`, [pairs], spaced(1, to, pairs));
  }
  return model;
}

/** The factors of Llama 3.1, for an original context of 32 so that short prompts show them. */
function llama3Factors(dimensions: number, theta: number): Float32Array {
  const [factor, low, high, original] = [8, 1, 4, 32];
  return Float32Array.from({ length: dimensions / 2 }, (_, pair) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * pair) / dimensions);
    if (wavelength < original / high) return 1;
    if (wavelength > original / low) return factor;
    const smooth = (original / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function phi3(corpus: Corpus, { partial, long, tied }: { partial: boolean; long: boolean; tied: boolean }): TinyModel {
  const sizes = { ...TWO_HEADS, keyValueHeads: 1 };
  const base = { ropeDimensions: partial ? 24 : 32, vocabularySize: false, context: 1024 };
  const model = dense('phi3', phi3Tokenizer(corpus), sizes, {
    base,
    tied,
    attention: { fused: true },
    mlp: { fused: true },
  });
  model.set('rope.scaling.original_context_length', 'u32', 256).set('attention.sliding_window', 'u32', 512);
  if (!long) return model;
  model.set('rope.scaling.attn_factor', 'f32', Math.sqrt(1 + Math.log(4) / Math.log(256)));
  return longrope(model, base.ropeDimensions / 2, 1.8, 12, ['long', 'short']);
}

function gemma(corpus: Corpus, architecture: string, sizes: TinySizes, parts: LayerParts & { ropeTheta?: number }) {
  const { ropeTheta, ...rest } = parts;
  return dense(architecture, gemmaTokenizer(corpus), sizes, {
    base: { epsilon: 1e-6, ropeTheta, keyLength: true, vocabularySize: false },
    tied: true,
    embedding: { std: 1 / Math.sqrt(sizes.hiddenSize) },
    ...rest,
  });
}

const QWEN_BASE: BaseKeys = { epsilon: 1e-6, ropeTheta: 1e6, vocabularySize: false };
const LAYER_NORM: BaseKeys = { epsilonKey: 'attention.layer_norm_epsilon', vocabularySize: false };
const BIASES: AttentionParts = { bias: true, outputBias: true, normBias: true };

function mixture(
  architecture: string,
  tokenizer: TinyTokenizer,
  sizes: TinySizes & { experts: number },
  { base, attention, width, used = 2 }: { base: BaseKeys; attention?: AttentionParts; width?: number; used?: number },
): TinyModel {
  const model = new TinyModel(architecture, tokenizer, sizes).base(base);
  model.set('expert_count', 'u32', sizes.experts).set('expert_used_count', 'u32', used);
  if (width !== undefined) model.set('expert_feed_forward_length', 'u32', width);
  model.embedding(false);
  for (let layer = 0; layer < sizes.layers; layer++) {
    model.attention(layer, attention).mixture(layer, width === undefined ? {} : { width });
  }
  return model;
}

function qwen2moe(corpus: Corpus): TinyModel {
  const sizes = { ...SMALL, experts: 4 };
  const model = new TinyModel('qwen2moe', qwenTokenizer(corpus), sizes).base(QWEN_BASE);
  model.set('expert_count', 'u32', 4).set('expert_used_count', 'u32', 2);
  model.set('expert_feed_forward_length', 'u32', 32).set('expert_shared_feed_forward_length', 'u32', 64);
  model.embedding(false);
  for (let layer = 0; layer < sizes.layers; layer++) {
    const block = `blk.${layer}`;
    model.attention(layer, { bias: true }).mixture(layer, { width: 32 });
    model.vector(`${block}.ffn_gate_inp_shexp.weight`, 64, 0.2);
    for (const part of ['gate', 'up', 'down']) model.matrix(`${block}.ffn_${part}_shexp.weight`, 64, 64, 1.5);
  }
  return model;
}

function gptOss(corpus: Corpus): TinyModel {
  const sizes = { ...WIDE, experts: 4 };
  const control = [
    '<|startoftext|>',
    '<|endoftext|>',
    '<|return|>',
    '<|start|>',
    '<|message|>',
    '<|end|>',
    '<|channel|>',
  ];
  const tokenizer = bytePairTokenizer(corpus, 'gpt-4o', control, {
    ids: { bos: '<|startoftext|>', eos: '<|return|>' },
    flags: { add_bos_token: false },
  });
  const model = new TinyModel('gpt-oss', tokenizer, sizes);
  model.base({ ropeTheta: 150_000, keyLength: true, vocabularySize: false });
  model.set('expert_count', 'u32', 4).set('expert_used_count', 'u32', 2).set('expert_feed_forward_length', 'u32', 96);
  model.set('attention.sliding_window', 'u32', 16).set('rope.scaling.type', 'string', 'yarn');
  model.set('rope.scaling.factor', 'f32', 8).set('rope.scaling.original_context_length', 'u32', 64);
  model.embedding(false);
  for (let layer = 0; layer < sizes.layers; layer++) {
    model.attention(layer, { bias: true, outputBias: true });
    model.vector(`blk.${layer}.attn_sinks.weight`, 4, 1, 1);
    model.mixture(layer, { bias: true, norm: 'post_attention_norm' });
  }
  return model;
}

function mistral3(corpus: Corpus): TinyModel {
  const tokenizer = bytePairTokenizer(corpus, 'tekken', ['<unk>', '<s>', '</s>', '[INST]', '[/INST]'], {
    ids: { bos: '<s>', eos: '</s>' },
    flags: { add_bos_token: true },
    template: MISTRAL,
  });
  const model = dense('mistral3', tokenizer, WIDE, {
    base: { ropeTheta: 1e6, ropeDimensions: 32, keyLength: true },
    tied: true,
  });
  model.set('rope.scaling.type', 'string', 'yarn').set('rope.scaling.factor', 'f32', 16);
  model.set('rope.scaling.yarn_beta_fast', 'f32', 32).set('rope.scaling.yarn_beta_slow', 'f32', 1);
  model.set('rope.scaling.yarn_log_multiplier', 'f32', 1);
  model.set('rope.scaling.original_context_length', 'u32', 64);
  return model.set('attention.temperature_scale', 'f32', 0.1);
}

function granite(corpus: Corpus): TinyModel {
  const model = dense('granite', chatmlTokenizer(corpus, 'refact'), SMALL, {
    base: { ropeDimensions: 16 },
    tied: true,
    embedding: { std: 1 / 12 },
  });
  model.set('embedding_scale', 'f32', 12).set('residual_scale', 'f32', 0.22);
  return model.set('attention.scale', 'f32', 0.4).set('logit_scale', 'f32', 0.5);
}

function cohere2(corpus: Corpus): TinyModel {
  const model = dense('cohere2', chatmlTokenizer(corpus, 'command-r'), SMALL, {
    base: { epsilonKey: 'attention.layer_norm_epsilon', ropeTheta: 5e4, ropeDimensions: 16 },
    tied: true,
    embedding: { logits: 12 },
    mlp: { norm: false },
  });
  return model.set('logit_scale', 'f32', 0.25).set('attention.sliding_window', 'u32', 16);
}

/** Every model, by its name. */
export const TINY_MODELS: Readonly<Record<string, (corpus: Corpus) => TinyModel>> = {
  llama: (corpus) => llama(corpus),
  'llama-tied': (corpus) => llama(corpus, { tied: true }),
  'llama-rope-freqs': (corpus) =>
    llama(corpus, { sizes: WIDE, ropeTheta: 500_000 }).tensor('rope_freqs.weight', [16], llama3Factors(32, 500_000)),
  'llama-linear': (corpus) => scaled(corpus, 'linear', 4),
  'llama-linear-no-type': (corpus) => scaled(corpus, undefined, 4),
  'llama-scale-linear': (corpus) => llama(corpus, { sizes: WIDE }).set('rope.scale_linear', 'f32', 4),
  'llama-scaling-none': (corpus) => scaled(corpus, 'none', 4),
  'llama-yarn': (corpus) => scaled(corpus, 'yarn', 4, { original_context_length: 64 }),
  'llama-attn-factor': (corpus) => scaled(corpus, 'linear', 4, { attn_factor: 1.3 }),
  'llama-longrope': (corpus) =>
    longrope(scaled(corpus, 'longrope', undefined, { original_context_length: 64, attn_factor: 1.19 }), 16, 2, 16, [
      'short',
      'long',
    ]),
  'llama-window-key': (corpus) =>
    llama(corpus, { tokenizer: mistralTokenizer(corpus) }).set('attention.sliding_window', 'u32', 16),
  'llama-attention-scale': (corpus) => llama(corpus).set('attention.scale', 'f32', 0.05),
  'llama-multipliers': (corpus) =>
    llama(corpus).set('logit_scale', 'f32', 8).set('residual_scale', 'f32', 0.22).set('embedding_scale', 'f32', 12),
  'llama-softcap': (corpus) =>
    llama(corpus).set('final_logit_softcapping', 'f32', 2).set('attn_logit_softcapping', 'f32', 2),
  'llama-bias': (corpus) =>
    llama(corpus, { base: { ropeDimensions: 16 }, attention: { bias: true, outputBias: true }, mlp: { bias: true } }),
  'llama-key-length': (corpus) => llama(corpus, { sizes: WIDE }),
  'llama-no-rope-dim': (corpus) =>
    llama(corpus, { sizes: { ...SMALL, keyValueHeads: 4 } })
      .drop('rope.dimension_count')
      .drop('vocab_size')
      .drop('attention.head_count_kv')
      .drop('rope.freq_base'),
  'llama-eps': (corpus) => llama(corpus).set('attention.layer_norm_rms_epsilon', 'f32', 0.1),
  'llama-mqa': (corpus) => llama(corpus, { sizes: { ...SMALL, keyValueHeads: 1 } }),
  'llama-kv-array': (corpus) =>
    llama(corpus).setValue('attention.head_count_kv', { type: 'array', of: 'i32', value: [2, 2, 2, 2] }),
  'llama-fused-qkv': (corpus) => llama(corpus, { attention: { fused: true } }),
  'llama-spm': (corpus) => llama(corpus, { tokenizer: mistralTokenizer(corpus) }),
  'llama-add-eos': (corpus) =>
    llama(corpus, { tokenizer: mistralTokenizer(corpus, { flags: { add_bos_token: true, add_eos_token: true } }) }),
  'llama-no-bos-flag': (corpus) => llama(corpus, { tokenizer: mistralTokenizer(corpus, { flags: {} }) }),
  'llama-no-bos-id': (corpus) => llama(corpus, { tokenizer: mistralTokenizer(corpus, { flags: {}, ids: {} }) }),
  mixtral: (corpus) =>
    mixture(
      'llama',
      mistralTokenizer(corpus),
      { ...SMALL, experts: 4 },
      { base: { ropeDimensions: 16, ropeTheta: 1e6 } },
    ),
  qwen2: (corpus) =>
    dense('qwen2', qwenTokenizer(corpus), SMALL, { base: QWEN_BASE, tied: true, attention: { bias: true } }),
  qwen2moe,
  qwen3: (corpus) =>
    dense('qwen3', qwenTokenizer(corpus), WIDE, {
      base: { ...QWEN_BASE, keyLength: true },
      tied: true,
      attention: { queryKeyNorm: 'head' },
    }),
  qwen3moe: (corpus) =>
    mixture(
      'qwen3moe',
      qwenTokenizer(corpus),
      { ...WIDE, experts: 8 },
      {
        base: { ...QWEN_BASE, keyLength: true },
        attention: { queryKeyNorm: 'head' },
        width: 32,
      },
    ),
  phi3: (corpus) => phi3(corpus, { partial: false, long: false, tied: false }),
  'phi3-longrope': (corpus) => phi3(corpus, { partial: false, long: true, tied: false }),
  'phi4-mini': (corpus) => phi3(corpus, { partial: true, long: true, tied: true }),
  granite,
  smollm3: (corpus) =>
    dense(
      'smollm3',
      chatmlTokenizer(corpus, 'smaug-bpe'),
      { ...SMALL, layers: 5 },
      {
        base: { epsilon: 1e-6, ropeTheta: 5e6, ropeDimensions: 16 },
        tied: true,
      },
    ),
  olmo2: (corpus) =>
    dense('olmo2', chatmlTokenizer(corpus, 'dbrx'), SMALL, {
      base: { epsilon: 1e-6, ropeTheta: 5e5, vocabularySize: false },
      attention: { norm: false, queryKeyNorm: 'full' },
      mlp: { norm: false },
      postNorms: true,
    }),
  exaone4: (corpus) =>
    dense('exaone4', chatmlTokenizer(corpus, 'exaone4'), SMALL, {
      base: { ropeTheta: 1e6, ropeDimensions: 16 },
      tied: true,
      attention: { norm: false, queryKeyNorm: 'head' },
      mlp: { norm: false },
      postNorms: true,
    }),
  'hunyuan-dense': (corpus) =>
    dense('hunyuan-dense', chatmlTokenizer(corpus, 'hunyuan-dense'), WIDE, {
      base: { keyLength: true },
      tied: true,
      attention: { queryKeyNorm: 'head' },
    }),
  glm4: (corpus) =>
    dense('glm4', chatmlTokenizer(corpus, 'glm4'), WIDE, {
      base: { ropeDimensions: 16, keyLength: true },
      attention: { bias: true },
      mlp: { fused: true },
      postNorms: true,
    }),
  mistral3,
  gemma: (corpus) => gemma(corpus, 'gemma', WIDE, {}),
  gemma2: (corpus) =>
    gemma(corpus, 'gemma2', WIDE, { postNorms: true, attention: { spread: 2 } })
      .set('attn_logit_softcapping', 'f32', 5)
      .set('final_logit_softcapping', 'f32', 4)
      .set('attention.sliding_window', 'u32', 16),
  gemma3: (corpus) =>
    gemma(
      corpus,
      'gemma3',
      { ...WIDE, layers: 7 },
      {
        postNorms: true,
        attention: { queryKeyNorm: 'head' },
        ropeTheta: 1e6,
      },
    ).set('attention.sliding_window', 'u32', 16),
  cohere2,
  'gpt-oss-f32': gptOss,
  stablelm: (corpus) =>
    dense(
      'stablelm',
      chatmlTokenizer(corpus, 'stablelm2'),
      { ...TWO_HEADS, keyValueHeads: 2 },
      {
        base: { ...LAYER_NORM, ropeDimensions: 8 },
        embedding: { normBias: true },
        attention: { bias: true, normBias: true },
        mlp: { normBias: true },
      },
    ).set('use_parallel_residual', 'bool', false),
  gptneox: (corpus) =>
    dense(
      'gptneox',
      chatmlTokenizer(corpus, 'olmo'),
      { ...TWO_HEADS, keyValueHeads: 2 },
      {
        base: { ...LAYER_NORM, ropeDimensions: 8, ropeTheta: undefined },
        embedding: { normBias: true },
        attention: { ...BIASES, fused: true },
        mlp: { gate: false, bias: true, normBias: true },
      },
    ).set('use_parallel_residual', 'bool', true),
  starcoder2: (corpus) =>
    dense('starcoder2', chatmlTokenizer(corpus, 'starcoder'), SMALL, {
      base: { ...LAYER_NORM, ropeTheta: 1e5 },
      tied: true,
      embedding: { normBias: true },
      attention: BIASES,
      mlp: { gate: false, bias: true, normBias: true },
    }),
};
