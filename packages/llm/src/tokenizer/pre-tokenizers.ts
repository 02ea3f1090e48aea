/**
 * The pre-tokenizers that `tokenizer.ggml.pre` of a GGUF file names: the patterns that cut text into words before
 * byte pairs are merged. A pattern is that of the model's own tokenizer.json (Oniguruma syntax, as
 * @huggingface/tokenizers reads it); which name takes which pattern is as in llama.cpp (`llama-vocab.cpp`).
 */

export interface PreTokenizer {
  /** Applied one after the other: each cuts the pieces of the one before, every match a piece of its own. */
  readonly patterns: readonly string[];
  /** Whether a word that is a token as a whole is taken without merging. */
  readonly ignoreMerges: boolean;
  /** Whether a prompt begins with the token for the beginning of a text where the file does not say. */
  readonly addBos: boolean;
}

/** The pattern of GPT-2, which `ByteLevel` pre-tokenizers apply by themselves. */
export const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
export const oneDigitPattern = '\\p{N}';
export const digitsPattern = '\\p{N}+';

const contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const llama3Pattern = `${contraction}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`;
const qwen2Pattern = `${contraction}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`;

const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const prefix = '[^\\r\\n\\p{L}\\p{N}]?';
const tekkenPattern = `${prefix}${upper}*${lower}+|${prefix}${upper}+${lower}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`;
const gpt4oPattern = `${prefix}${upper}*${lower}+${contraction}?|${prefix}${upper}+${lower}*${contraction}?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`;

const gpt2: PreTokenizer = { patterns: [gpt2Pattern], ignoreMerges: false, addBos: false };
const digitsThenGpt2: PreTokenizer = { ...gpt2, patterns: [oneDigitPattern, gpt2Pattern] };
const llama3: PreTokenizer = { patterns: [llama3Pattern], ignoreMerges: true, addBos: true };
const gpt4: PreTokenizer = { ...llama3, ignoreMerges: false, addBos: false };
const qwen2: PreTokenizer = { patterns: [qwen2Pattern], ignoreMerges: false, addBos: false };
const tekken: PreTokenizer = { patterns: [tekkenPattern], ignoreMerges: true, addBos: true };
const gpt4o: PreTokenizer = { patterns: [gpt4oPattern], ignoreMerges: false, addBos: false };

/** By the name in `tokenizer.ggml.pre`. */
export const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map(
  Object.entries({
    'gpt-2': gpt2,
    'phi-2': gpt2,
    mpt: gpt2,
    olmo: gpt2,
    jais: gpt2,
    exaone4: gpt2,
    trillion: gpt2,
    'granite-docling': gpt2,
    smollm: digitsThenGpt2,
    starcoder: digitsThenGpt2,
    refact: digitsThenGpt2,
    'command-r': digitsThenGpt2,
    codeshell: digitsThenGpt2,
    exaone: digitsThenGpt2,
    'minerva-7b': digitsThenGpt2,
    'llama-bpe': llama3,
    llama3,
    'llama-v3': llama3,
    falcon3: llama3,
    'falcon-h1': llama3,
    pixtral: llama3,
    lfm2: llama3,
    dbrx: gpt4,
    'smaug-bpe': gpt4,
    glm4: gpt4,
    'chatglm-bpe': gpt4,
    qwen2,
    'deepseek-r1-qwen': qwen2,
    megrez: qwen2,
    stablelm2: qwen2,
    hunyuan: qwen2,
    tekken,
    'gpt-4o': gpt4o,
    llama4: gpt4o,
  }),
);
