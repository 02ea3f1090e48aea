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
  /** Whether text is composed (Unicode's NFC) first. llama.cpp leaves that out; the models' own tokenizers do it. */
  readonly nfc: boolean;
}

/** The pattern of GPT-2, which `ByteLevel` pre-tokenizers apply by themselves. */
export const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
export const oneDigitPattern = '\\p{N}';
export const digitsPattern = '\\p{N}+';
const threeDigitsPattern = '\\p{N}{1,3}';

const contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const symbols = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*';

/** The pattern of GPT-4 and its many relatives, which differ in how they take words and digits. */
const gpt4Like = ({ words = '\\p{L}+', digits = threeDigitsPattern, rest = `${symbols}|${spaces}` }) =>
  `${contraction}|[^\\r\\n\\p{L}\\p{N}]?${words}|${digits}|${rest}`;
const llama3Pattern = gpt4Like({});
const qwen2Pattern = gpt4Like({ digits: oneDigitPattern });
const qwen35Pattern = gpt4Like({
  words: '[\\p{L}\\p{M}]+',
  digits: oneDigitPattern,
  rest: ` ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${spaces}`,
});
const jais2Spaces = [512, 256, 128, 64, 32, 16, 8, 4].map((length) => `\\s{${length}}(?!\\S)`).join('|');

const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const prefix = '[^\\r\\n\\p{L}\\p{N}]?';
/** Words by their case, as GPT-4o takes them, with the contraction that follows one. */
const casedWords = (suffix = '') => `${prefix}${upper}*${lower}+${suffix}|${prefix}${upper}+${lower}*${suffix}`;
const casedRest = ` ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`;
const tekkenPattern = `${casedWords()}|${oneDigitPattern}|${casedRest}`;
const gpt4oPattern = `${casedWords(`${contraction}?`)}|${threeDigitsPattern}|${casedRest}`;
const youtuPattern = `${casedWords(`${contraction}?`)}|${oneDigitPattern}|${casedRest}`;

/** Words by their case, but for Chinese characters, which are words by runs. */
const kimiWords = casedWords(`${contraction}?`)
  .replaceAll(upper, `(?:(?!\\p{Script=Han})${upper})`)
  .replaceAll(lower, `(?:(?!\\p{Script=Han})${lower})`);
const kimiPattern = `\\p{Script=Han}+|${kimiWords}|${threeDigitsPattern}|${symbols}|${spaces}`;

const punctuation = '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]';
const deepseekWords = `${punctuation}[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|${spaces}`;
/** Groups of three digits, counted from the end of a number. */
const groupedDigitsPattern = '\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))';
const afmoeScripts =
  '[一-鿿㐀-䶿豈-\ufaff぀-ゟ゠-ヿ･-ﾟ⼀-\u2fdfเ-\u0e7f\u0e80-\u0effក-\u17ffက-႟ꩠ-ꩿꧠ-\ua9ff가-\ud7afᄀ-ᇿ]+';
const deepseekCjk = '[一-龥ࠀ-一가-퟿]+';
/** Letters with case, as DeepSeek's first tokenizer lists them. */
const deepseekLetters =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';
const bloomPattern = ' ?[^(\\s|.,!?…。，、।۔،)]+';

const gpt2: PreTokenizer = { patterns: [gpt2Pattern], ignoreMerges: false, addBos: false, nfc: false };
const gpt2Composed: PreTokenizer = { ...gpt2, nfc: true };
const digitsThenGpt2: PreTokenizer = { ...gpt2, patterns: [oneDigitPattern, gpt2Pattern] };
const llama3: PreTokenizer = { ...gpt2, patterns: [llama3Pattern], ignoreMerges: true, addBos: true };
const gpt4: PreTokenizer = { ...gpt2, patterns: [llama3Pattern] };
const oneDigit: PreTokenizer = { ...gpt2, patterns: [qwen2Pattern] };
const qwen2: PreTokenizer = { ...oneDigit, nfc: true };
const qwen35: PreTokenizer = { ...gpt2, patterns: [qwen35Pattern], nfc: true };
const tekken: PreTokenizer = { ...gpt2, patterns: [tekkenPattern], ignoreMerges: true, addBos: true };
const gpt4o: PreTokenizer = { ...gpt2, patterns: [gpt4oPattern] };
const deepseekV3: PreTokenizer = { ...gpt2, patterns: [threeDigitsPattern, '[一-龥\u3040-ゟ゠-ヿ]+', deepseekWords] };
const bloom: PreTokenizer = { ...gpt2, patterns: [bloomPattern] };
const bailing: PreTokenizer = {
  ...gpt2,
  patterns: [`'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${symbols}|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`],
};

/** What llama.cpp takes where a file names no pre-tokenizer, or `default`. */
export const DEFAULT_PRE_TOKENIZER: PreTokenizer = {
  ...gpt2,
  patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Pattern, '\\p{N}+', '[0-9][0-9][0-9]'],
};

/** By the name in `tokenizer.ggml.pre`. */
export const preTokenizers: ReadonlyMap<string, PreTokenizer> = new Map(
  Object.entries({
    'gpt-2': gpt2,
    'phi-2': gpt2,
    mpt: gpt2Composed,
    olmo: gpt2Composed,
    jais: gpt2,
    exaone4: gpt2,
    trillion: gpt2,
    'granite-docling': gpt2,
    gigachat: gpt2,
    'a.x-4.0': gpt2,
    mellum: gpt2,
    'modern-bert': gpt2,
    'jina-es': gpt2,
    'jina-de': gpt2,
    'jina-v2-es': gpt2,
    'jina-v2-de': gpt2,
    'jina-v1-en': gpt2,
    'jina-v2-code': gpt2,
    'roberta-bpe': gpt2,
    smollm: digitsThenGpt2,
    starcoder: digitsThenGpt2,
    refact: digitsThenGpt2,
    'command-r': digitsThenGpt2,
    codeshell: digitsThenGpt2,
    exaone: digitsThenGpt2,
    'minerva-7b': digitsThenGpt2,
    mellum2: digitsThenGpt2,
    falcon: {
      ...gpt2,
      patterns: ['[\\p{P}\\$\\+<=>\\^~\\|`]+', gpt2Pattern, '[0-9][0-9][0-9]'],
    },
    'llama-bpe': llama3,
    llama3,
    'llama-v3': llama3,
    falcon3: llama3,
    'falcon-h1': llama3,
    pixtral: llama3,
    lfm2: llama3,
    'midm-2.0': llama3,
    'jina-v5-nano': llama3,
    minicpm5: { ...gpt4, patterns: [threeDigitsPattern, gpt4Like({ digits: digitsPattern })], ignoreMerges: true },
    dbrx: gpt4,
    'smaug-bpe': gpt4,
    glm4: gpt4,
    'chatglm-bpe': gpt4,
    'jais-2': {
      ...gpt2,
      patterns: [gpt4Like({ rest: `${symbols}|\\s*[\\r\\n]+|${jais2Spaces}|\\s{1,2}(?!\\S)|\\s{1}` })],
    },
    qwen2,
    'deepseek-r1-qwen': qwen2,
    kormo: qwen2,
    f2llmv2: qwen2,
    megrez: qwen2,
    qwen35,
    stablelm2: oneDigit,
    hunyuan: oneDigit,
    'solar-open': oneDigit,
    'grok-2': oneDigit,
    laguna: { ...gpt2, patterns: ['[^\\n]+|[\\n]+', qwen2Pattern] },
    'seed-coder': {
      ...gpt2,
      patterns: [gpt4Like({ digits: oneDigitPattern, rest: ` ?[^\\s\\p{L}\\p{N}\\r\\n]+|${spaces}` })],
    },
    'exaone-moe': {
      ...gpt2,
      patterns: [
        gpt4Like({
          words: '(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+',
          digits: oneDigitPattern,
          rest: ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+',
        }),
      ],
    },
    bailingmoe: bailing,
    bailingmoe2: bailing,
    'llada-moe': bailing,
    tekken,
    'gpt-4o': gpt4o,
    llama4: gpt4o,
    kanana2: gpt4o,
    talkie: gpt4o,
    'minimax-m2': gpt4o,
    'granite-embed-multi-97m': { ...gpt4o, ignoreMerges: true },
    tiny_aya: { ...gpt2, patterns: ['\\p{Nd}{1,3}(?=(?:\\p{Nd}{3})*(?![\\p{L}\\p{M}\\p{N}\\p{Pc}]))', gpt4oPattern] },
    cohere2moe: { ...gpt2, patterns: ['\\p{Nd}{1,3}(?=(?:\\p{Nd}{3})*(?![\\p{L}\\p{M}\\p{N}\\p{Pc}]))', gpt4oPattern] },
    'deepseek-llm': {
      ...gpt2,
      patterns: [
        '[\\r\\n]',
        `\\s?[${deepseekLetters}]+`,
        '\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+',
        '\\s+$',
        deepseekCjk,
        digitsPattern,
      ],
    },
    'deepseek-coder': {
      ...gpt2,
      patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', deepseekCjk, oneDigitPattern],
    },
    'deepseek-v3': deepseekV3,
    'hunyuan-dense': deepseekV3,
    'joyai-llm': deepseekV3,
    'kimi-k2': { ...gpt2, patterns: [kimiPattern] },
    afmoe: { ...gpt2, patterns: [groupedDigitsPattern, afmoeScripts, deepseekWords] },
    youtu: {
      ...gpt2,
      patterns: ['[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u3040-ゟ゠-ヿ]+', youtuPattern],
      ignoreMerges: true,
    },
    'poro-chat': bloom,
    bloom,
    'gpt3-finnish': bloom,
    viking: { ...gpt2, patterns: [bloomPattern, oneDigitPattern] },
    chameleon: {
      ...gpt2,
      patterns: [
        '<sentinel:[0-9]+>',
        '(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z',
        '([\\t\\n]|    |  )',
        oneDigitPattern,
        '[\\p{P}!-/:-@\\[-`{-~]',
        gpt2Pattern,
      ],
      addBos: true,
    },
    superbpe: { ...gpt2, patterns: [digitsPattern, '(?=(\\p{Nd}{3})+(?!\\p{Nd}))'] },
  }),
);

/** The names in `tokenizer.ggml.pre` that are known. */
export const supportedPreTokenizers: readonly string[] = [...preTokenizers.keys()];
