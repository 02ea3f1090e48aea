/**
 * The tokenizer of a model: text to token ids and back. @huggingface/tokenizers encodes, from a tokenizer.json or
 * from the one that is made of the GGUF's own metadata.
 */
import { KeysieveError } from 'keysieve';
import { withTimeLimit } from '#platform';
import { checkArgument, isText } from '../arguments.ts';
import { llmError } from '../errors.ts';
import type { GgufMetadata } from '../gguf/metadata.ts';
import { bytePairTokenizerJson } from './byte-pair.ts';
import { type ChatMessage, type ChatTemplate, type RenderOptions, requireMessages } from './chat-template.ts';
import { createEncoders, type Encoders } from './encoder.ts';
import { createMessageMarker } from './message-text.ts';
import { preTokenizers } from './pre-tokenizers.ts';
import { sentencePieceTokenizerJson } from './sentence-piece.ts';
import type { StreamDecoder } from './token-bytes.ts';
import { createStreamDecoder, createTokenBytes } from './token-bytes.ts';
import type { TokenizerJson } from './tokenizer-json.ts';
import { parseTokenizerJson } from './tokenizer-json.ts';
import { readSpecialIds, readVocabulary } from './vocabulary.ts';

/** Options of turning text into tokens. */
export interface EncodeOptions {
  /** Whether names of special tokens in the text, such as `<|im_start|>`, become those tokens. Default: true. */
  special?: boolean;
}

/** Options of turning tokens into text. */
export interface DecodeOptions {
  /** Whether special tokens are left out of the text. Default: false. */
  skipSpecial?: boolean;
}

/** Text to tokens and back, as a model was trained with. */
export interface Tokenizer {
  /**
   * Token ids of a chat as a template renders it. Only the control tokens that the template itself puts there count:
   * in messages their names are text. Throws `chat-messages-invalid`.
   */
  encodeChat(
    messages: readonly ChatMessage[],
    template: ChatTemplate,
    options?: RenderOptions,
  ): Int32Array<ArrayBuffer>;
  /**
   * Token ids of a text, without a token for its beginning: put `bosToken` in front where `addBos` holds and the
   * text does not begin with it. Lone surrogates become U+FFFD; see `unencodable` for what a vocabulary may lack.
   */
  encode(text: string, options?: EncodeOptions): Int32Array<ArrayBuffer>;
  /** Text of token ids; bytes that are not UTF-8 become U+FFFD. Throws `invalid-argument` for an id that is none. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** Bytes of one token, which need not be whole characters. Throws `invalid-argument` for an id that is none. */
  tokenBytes(id: number): Uint8Array;
  /** Whether a token controls the model instead of standing for text. */
  isSpecial(id: number): boolean;
  /** Makes text of tokens one at a time, as they are generated. */
  streamDecoder(options?: DecodeOptions): StreamDecoder;
  /**
   * The characters of a text that have no tokens, each once, '' for nearly every text: `encode` leaves out those of
   * their bytes that the vocabulary lacks, as the reference tokenizers do, so a caller can say so.
   */
  unencodable(text: string): string;
  /** Number of ids: the length of a row of logits. */
  readonly vocabularySize: number;
  readonly bosToken: number | undefined;
  readonly eosToken: number | undefined;
  /** Ids that end an answer. */
  readonly endOfGeneration: ReadonlySet<number>;
  /** Whether the model expects `bosToken` in front of a text. */
  readonly addBos: boolean;
}

/** Options of making a tokenizer. */
export interface TokenizerOptions {
  /** The text of a tokenizer.json to encode with. Default: the tokenizer of the GGUF file, which then must have one. */
  tokenizerJson?: string | undefined;
}

/**
 * The tokenizer of an open GGUF file. Throws `unsupported-tokenizer`, `tokenizer-invalid` (a bad tokenizer.json, or
 * that of another model), `metadata-missing` or `gguf-invalid`.
 */
export function createTokenizer(gguf: { metadata: GgufMetadata }, options: TokenizerOptions = {}): Tokenizer {
  const { metadata } = gguf;
  const { tokenizerJson } = options;
  const json = tokenizerJson === undefined ? tokenizerJsonOf(metadata) : parseTokenizerJson(tokenizerJson);
  const { vocab } = json.model;
  const added = new Map(json.added_tokens.map(({ content, id }) => [content, id]));
  const size = sizeOf(metadata, [Object.values(vocab), added.values()]);
  const idOf = (token: string) => added.get(token) ?? (Object.hasOwn(vocab, token) ? vocab[token] : undefined);
  const ids = readSpecialIds(metadata, size, idOf);
  const tokens = createTokenBytes(json, size);
  const encoders = tokenizerJson === undefined ? createEncoders(json) : limitedEncoders(createEncoders(json));
  const marker = createMessageMarker(json.added_tokens);

  function encode(text: string, { special = true }: EncodeOptions = {}): Int32Array<ArrayBuffer> {
    checkArgument('What is encoded', text, isText(text), 'a text');
    return Int32Array.from(special ? encoders.withSpecial(text) : encoders.withoutSpecial(text));
  }

  function encodeChat(messages: readonly ChatMessage[], template: ChatTemplate, options: RenderOptions = {}) {
    requireMessages(messages);
    const { source: templateSource } = template;
    const marked = messages.map((message) => {
      const { role } = message;
      const markedRole = marker.mark(role, { role, templateSource, wholeNames: true });
      return { ...marker.mark(message, { role, templateSource }), role: markedRole };
    });
    const { tools = [], variables = {}, ...rest } = options;
    const system = { role: 'system', templateSource };
    const presented = { tools: marker.mark(tools, system), variables: marker.mark(variables, system) };
    return Int32Array.from(encoders.withMarks(template.render(marked, { ...presented, ...rest })));
  }

  function decode(tokenIds: Iterable<number>, { skipSpecial = false }: DecodeOptions = {}): string {
    const stream = createStreamDecoder(tokens, skipSpecial);
    let text = '';
    for (const id of tokenIds) text += stream.append(id);
    text += stream.flush();
    return tokens.leadingSpace && text.startsWith(' ') ? text.slice(1) : text;
  }

  function unencodable(text: string): string {
    if (tokens.missingBytes.size === 0) return '';
    const bytes = new TextEncoder().encode(text);
    if (!bytes.some((byte) => tokens.missingBytes.has(byte))) return '';
    const isUnencodable = (character: string) =>
      new TextEncoder().encode(character).some((byte) => tokens.missingBytes.has(byte));
    return [...new Set(text)].filter(isUnencodable).join('');
  }

  return {
    encode,
    encodeChat,
    decode,
    tokenBytes: tokens.bytesOf,
    isSpecial: tokens.isSpecial,
    streamDecoder: ({ skipSpecial = false } = {}) => createStreamDecoder(tokens, skipSpecial),
    unencodable,
    vocabularySize: size,
    ...ids,
    addBos: ids.bosToken !== undefined && metadata.booleanOr('tokenizer.ggml.add_bos_token', addsBos(metadata)),
  };
}

/** Encoding takes about a second for a million characters. */
const encodingLimitMs = (text: string) => Math.round(5000 + text.length / 20);

/**
 * A tokenizer.json is by whoever wrote it: its regular expressions may take for ever, and steps that lack something make the
 * library fail in its own way when they are first used.
 */
function limitedEncoders(encoders: Encoders): Encoders {
  const invalid = (problem: string, found: string, cause?: unknown) =>
    llmError({
      code: 'tokenizer-invalid',
      problem,
      found,
      remedy: "Take the tokenizer.json from the model's own repository, or leave it out.",
      cause,
    });
  const endless = (text: string) => () =>
    invalid(
      'The tokenizer.json does not come to an end with this text.',
      `more than ${Math.round(encodingLimitMs(text) / 1000)} s for ${text.length} characters`,
    );
  const limit = (encode: (text: string) => number[]) => (text: string) => {
    try {
      return withTimeLimit(encodingLimitMs(text), () => encode(text), endless(text));
    } catch (cause) {
      if (cause instanceof KeysieveError) throw cause;
      throw invalid('A step of the tokenizer.json cannot be done.', String(cause), cause);
    }
  };
  return {
    withSpecial: limit(encoders.withSpecial),
    withoutSpecial: limit(encoders.withoutSpecial),
    withMarks: limit(encoders.withMarks),
  };
}

function tokenizerJsonOf(metadata: GgufMetadata): TokenizerJson {
  const vocabulary = readVocabulary(metadata);
  const model = metadata.string('tokenizer.ggml.model');
  if (model === 'gpt2') return bytePairTokenizerJson(metadata, vocabulary);
  if (model === 'llama') return sentencePieceTokenizerJson(metadata, vocabulary);
  throw llmError({
    code: 'unsupported-tokenizer',
    problem: 'The tokenizer model of the GGUF file is not supported.',
    found: model,
    remedy: 'Use a model whose tokenizer is byte-level byte pairs (gpt2) or SentencePiece byte pairs (llama).',
  });
}

/** What holds where the file does not say, as in llama.cpp. */
function addsBos(metadata: GgufMetadata): boolean {
  if (metadata.stringOr('tokenizer.ggml.model', '') === 'llama') return true;
  return preTokenizers.get(metadata.stringOr('tokenizer.ggml.pre', ''))?.addBos ?? false;
}

/**
 * Number of ids: that of the file's own vocabulary, which may have more than are used, or of the ids where the file
 * has none. Throws `tokenizer-invalid` for an id past the vocabulary.
 */
function sizeOf(metadata: GgufMetadata, lists: readonly Iterable<number>[]): number {
  let maxId = -1;
  for (const ids of lists) for (const id of ids) maxId = Math.max(maxId, id);
  const vocabularySize = metadata.has('tokenizer.ggml.tokens')
    ? metadata.strings('tokenizer.ggml.tokens').length
    : maxId + 1;
  if (maxId < vocabularySize) return vocabularySize;
  throw llmError({
    code: 'tokenizer-invalid',
    problem: `The tokenizer.json is not that of this model, whose vocabulary has ${vocabularySize} tokens.`,
    found: `the id ${maxId}`,
    remedy: "Take the tokenizer.json from the model's own repository, or leave it out.",
  });
}
