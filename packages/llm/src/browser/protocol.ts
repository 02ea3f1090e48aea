/** What a page asks of an engine in a worker. Answers, sessions and models are known by numbers: none of them can be posted. */
import type { KeysieveError } from 'keysieve';
import type { ModelConfig } from '../model/index.ts';
import type { MatmulPrecision } from '../onnx/index.ts';
import type { GenerateOptions, PrefillProgress } from '../session/generate-options.ts';
import type { GenerationChunk, GenerationResult } from '../session/generation.ts';
import type { LoadProgress } from '../session/load-progress.ts';
import type { Prompt } from '../session/prompt.ts';
import type { SessionOptions } from '../session/session-options.ts';

export interface WorkerLoadOptions {
  context?: number | undefined;
  precision?: MatmulPrecision | undefined;
  /** Default: one for each processor where the page is isolated (COOP and COEP), else one. */
  threads?: number | undefined;
  /** Folder of the browser's storage. Default: `keysieve`. */
  cacheFolder?: string | undefined;
}

/** What a page knows of a loaded model. */
export interface ModelFacts {
  name: string;
  config: ModelConfig;
  contextLength: number;
  ropeExtended: boolean;
  precision: MatmulPrecision;
  threads: number;
  hasChatTemplate: boolean;
}

/** Options of an answer that can be posted. */
export type WorkerGenerateOptions = Omit<GenerateOptions, 'signal' | 'onPrefill' | 'constraint'>;
export type WorkerSessionOptions = Omit<SessionOptions, 'onTrace'>;

/** A result, or the details of an error: what is thrown in a worker arrives without its code. */
export type Outcome<T> = { value: T } | { error: ConstructorParameters<typeof KeysieveError>[0] };

/** A source that can be posted: a URL object cannot. */
export type PostedSource = string | Blob | { url: string };

export interface EngineApi {
  load(
    source: PostedSource,
    options: WorkerLoadOptions,
    work: number,
    onProgress: (progress: LoadProgress) => void,
  ): Promise<Outcome<ModelFacts>>;
  /** Ends what is done under this number. */
  abort(work: number): void;
  encode(prompt: Prompt): Promise<Outcome<Int32Array>>;
  /** The text of each token of a text, in order: they add up to it. */
  tokenTexts(tokens: Int32Array): Promise<Outcome<string[]>>;
  hash(): Promise<Outcome<string>>;
  createSession(options: WorkerSessionOptions): Promise<Outcome<number>>;
  generate(
    session: number,
    prompt: Prompt,
    options: WorkerGenerateOptions,
    work: number,
    onChunk: (chunk: GenerationChunk) => void,
    onPrefill: (progress: PrefillProgress) => void,
  ): Promise<Outcome<GenerationResult>>;
  /** See `attentionMap`. */
  attentionMap(session: number): Promise<Outcome<Float32Array>>;
  disposeSession(session: number): Promise<void>;
  dispose(): Promise<void>;
}
