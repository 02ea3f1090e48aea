/** Loads a model: opens its file, chooses the precision, and makes of it what sessions need. */

import { createGrammars } from '../grammar/index.ts';
import type { SourceLocation } from '../io/source.ts';
import { disposedError, type ModelConfig, type TransformerSegments } from '../model/index.ts';
import { hashFile, type MatmulPrecision } from '../onnx/index.ts';
import type { PrefixStore } from '../prefixes/index.ts';
import type { ChatMessage, ChatTemplate, RenderOptions, Tokenizer } from '../tokenizer/index.ts';
import { type BoundedSession, type BoundedSessionOptions, createBoundedSession } from './bounded-session.ts';
import { createEngines } from './engines.ts';
import { checkLoadOptions, type LoadOptions, openModelFile } from './model-file.ts';
import { openPrefixes, type PrefixOptions } from './open-prefixes.ts';
import { type EncodePromptOptions, encodePrompt, type Prompt } from './prompt.ts';
import { type RestoreOptions, restoreSession } from './restore.ts';
import { scanBasesOf } from './scan-calibration.ts';
import { createScheduler } from './scheduler.ts';
import { createSession, type Session } from './session.ts';
import type { SessionOptions } from './session-options.ts';
import { chooseThreads } from './threads.ts';

/** A loaded model. Sessions share its weights. */
export interface Model extends AsyncDisposable {
  /** Its name in the file. */
  readonly name: string;
  /** Path of the GGUF file; the name of a Blob, the address of a URL. */
  readonly path: string;
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  /** Most tokens that a session holds. */
  readonly contextLength: number;
  /** Whether that is more than the model was trained for. */
  readonly ropeExtended: boolean;
  readonly precision: MatmulPrecision;
  readonly threads: number;
  /**
   * The text that the model expects for a chat, up to where its answer begins; to be looked at: use `encode` for its
   * tokens, so that no message can forge a control token. Throws `chat-template-missing`.
   */
  renderChat(messages: readonly ChatMessage[], options?: RenderOptions): string;
  /** The template of its chats. Throws `chat-template-missing` and `chat-template-invalid`. */
  chatTemplate(): ChatTemplate;
  /** Token ids of a prompt as sessions read it, its beginning included. Throws `prompt-empty` and as `renderChat`. */
  encode(prompt: Prompt, options?: EncodePromptOptions): Int32Array;
  createSession(options?: SessionOptions): Promise<Session>;
  /**
   * A session that reads a text of any length in bounded memory: an eviction drops keys as it reads. Throws `invalid-argument`
   * for a policy without remains, a budget that grows, or a model with layers that have a window, a soft cap or sinks.
   */
  createBoundedSession(options?: BoundedSessionOptions): Promise<BoundedSession>;
  /**
   * A session with what another one had read when it was saved, made as that was unless options say otherwise: reading on,
   * it goes on as that one would have. A damaged page costs itself and what follows, with a warning. Throws
   * `snapshot-not-found`, `snapshot-invalid`, `snapshot-version`, `snapshot-foreign` for another model or other settings,
   * and `aborted`.
   */
  restore(source: SourceLocation, options?: RestoreOptions): Promise<Session>;
  /**
   * A place where sessions find what their prompts begin with, whoever has read it, and keep what they read until a limit is
   * reached: give it to `createSession`. Dispose of it before the model.
   */
  openPrefixes(options?: PrefixOptions): PrefixStore;
  /** SHA-256 of the file, hexadecimal: what laws are tied to. The file is read once for it. */
  hash(signal?: AbortSignal): Promise<string>;
  /** Frees the weights. Dispose of the sessions first; disposing again does nothing. */
  dispose(): Promise<void>;
}

/**
 * Loads `nano`, the model that comes with this package; `hf:OWNER/REPO[/FILE]`, one from the Hugging Face hub; or a
 * GGUF file by its path, as a Blob (such as a File that was chosen in a page), or by a URL whose server sends ranges. Throws `model-not-found`, `not-gguf` and the other codes of files, hubs and backends; `aborted`.
 */
export async function loadModel(source: SourceLocation, options: LoadOptions = {}): Promise<Model> {
  checkLoadOptions(source, options);
  const threads = await chooseThreads(options.threads);
  await using file = await openModelFile(source, { ...options, threads });
  const precision = await file.choosePrecision();
  const segments = await file.load(typeof precision === 'string' ? precision : precision.chosen);
  const { name, path, location, tokenizer } = file;
  const chatTemplate = memoize(() => file.chatTemplate());
  return createModel({
    name,
    path,
    location,
    tokenizer,
    segments,
    threads,
    chatTemplate,
    cacheFolder: options.cacheFolder,
    fingerprint: await file.fingerprint(),
  });
}

interface ModelParts {
  name: string;
  path: string;
  location: SourceLocation;
  tokenizer: Tokenizer;
  chatTemplate: () => ChatTemplate;
  segments: TransformerSegments;
  threads: number;
  cacheFolder: string | undefined;
  /** Hash of the tensors. */
  fingerprint: string;
}

function createModel({
  name,
  path,
  location,
  tokenizer,
  chatTemplate,
  segments,
  threads,
  cacheFolder,
  fingerprint,
}: ModelParts): Model {
  const { config, precision, context: contextLength } = segments;
  let isDisposed = false;
  const dispose = async () => {
    isDisposed = true;
    await segments.dispose();
  };
  /** For what starts threads, which nobody would end. */
  const live =
    <Args extends unknown[], T>(work: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      if (isDisposed) throw disposedError();
      return await work(...args);
    };
  const renderChat = (messages: readonly ChatMessage[], options?: RenderOptions) =>
    chatTemplate().render(messages, options);
  const engines = createEngines();
  const scheduler = createScheduler(segments);
  const grammars = createGrammars(tokenizer, new Map());
  let hash: string | undefined;
  const hashOnce = async (signal?: AbortSignal) => {
    hash ??= await hashFile(location, { signal });
    return hash;
  };
  const scanBases = memoize(() => scanBasesOf({ segments, tokenizer, fingerprint, cacheFolder }));
  const shared = { segments, tokenizer, contextLength, threads, cacheFolder, chatTemplate, engines, scheduler };
  const sessionModel = { ...shared, grammars, name, hash: hashOnce, scanBases };
  return {
    name,
    path,
    config,
    tokenizer,
    contextLength,
    ropeExtended: contextLength > config.contextLength,
    precision,
    threads,
    renderChat,
    chatTemplate,
    encode: (prompt, options) => encodePrompt(prompt, { tokenizer, chatTemplate }, options),
    createSession: live((options) => createSession(sessionModel, options)),
    createBoundedSession: live((options) => createBoundedSession(sessionModel, options)),
    restore: live((source, options = {}) => restoreSession(sessionModel, source, options)),
    openPrefixes: (options = {}) => openPrefixes(name, options),
    hash: hashOnce,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

function memoize<T extends object>(make: () => T): () => T {
  let value: T | undefined;
  return () => {
    value ??= make();
    return value;
  };
}
