/** A model's file as all commands open it: found, fetched where need be, with its tokenizer and chat template. */

import { KeysieveError } from 'keysieve';
import { checkOptionNames, type OptionNames } from 'keysieve/engine';
import { DEFAULT_PRECISION, nanoLocation } from '#platform';
import {
  checkArgument,
  checkChoice,
  checkOptional,
  checkOptions,
  checkSignal,
  isBoolean,
  isFunction,
  isPositiveInteger,
  isText,
} from '../arguments.ts';
import { type GgufFile, openGguf } from '../gguf/index.ts';
import type { SourceLocation } from '../io/source.ts';
import { architectureOf, loadTransformerSegments, type TransformerSegments } from '../model/index.ts';
import { fingerprintTensors, MATMUL_PRECISIONS, type MatmulPrecision } from '../onnx/index.ts';
import {
  type ChatTemplate,
  createChatTemplate,
  createTokenizer,
  readCompanionFiles,
  type Tokenizer,
} from '../tokenizer/index.ts';
import { createLoading, type LoadProgress, type LoadStretch, segmentProgress } from './load-progress.ts';
import { choosePrecision, type PrecisionChoice } from './precision.ts';

export interface LoadOptions {
  /**
   * Most tokens that a session holds. Past what the model was trained for, RoPE is stretched. Default: what the model
   * was trained for.
   */
  context?: number | undefined;
  /**
   * Precision of the non-attention layers: `fp32` rounds nothing, `a8` activations to 8 bits, `w8a8` also the weights that a
   * prompt meets. Default: the fastest whose KL divergence from `fp32` is below .005 on this model, .01 for `a8`, measured
   * once.
   */
  precision?: MatmulPrecision | undefined;
  /**
   * Threads of the dense layers and of the attention. Default: one for each processor that this process may use and that
   * is not busy with other work when the model is loaded.
   */
  threads?: number | undefined;
  /** Where prepared models are kept. Default: KEYSIEVE_CACHE, or `keysieve` in the user's cache folder. */
  cacheFolder?: string | undefined;
  /** Whether prepared weights are read whole and compared with what was written. Default: samples of them. */
  verify?: boolean | undefined;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface ModelFile extends AsyncDisposable {
  /** Its name in the file. */
  readonly name: string;
  /** Path of the file; the name of a Blob, the address of a URL. */
  readonly path: string;
  readonly location: SourceLocation;
  readonly gguf: GgufFile;
  readonly tokenizer: Tokenizer;
  /** Throws where the model has no chat template, or a broken one: that matters only to those who chat. */
  chatTemplate(): ChatTemplate;
  /** The precision that was asked for, or the one that is measured to do. */
  choosePrecision(): Promise<MatmulPrecision | PrecisionChoice>;
  load(precision: MatmulPrecision): Promise<TransformerSegments>;
  /** Hash of the tensors: see `fingerprintTensors`. */
  fingerprint(): Promise<string>;
}

export const LOAD_OPTIONS: OptionNames<LoadOptions> = {
  context: true,
  precision: true,
  threads: true,
  cacheFolder: true,
  verify: true,
  onProgress: true,
  signal: true,
};

/** Throws `invalid-argument` for what is no source of a model, and for options of the wrong kind or not in `names`. */
export function checkLoadOptions(
  source: unknown,
  options: unknown,
  names: Readonly<Record<string, true>> = LOAD_OPTIONS,
): void {
  checkArgument(
    'The model',
    source,
    isText(source) || source instanceof Blob || source instanceof URL,
    'nano, hf:OWNER/REPO[/FILE], an address, the path of a GGUF file, or the file as a Blob or URL',
  );
  checkOptions('The options of a model', options);
  checkOptionNames('a model', options, names);
  const { context, precision, threads, cacheFolder, verify, onProgress, signal } = options as Record<string, unknown>;
  checkOptional(
    'context',
    context,
    (n) => isPositiveInteger(n) && (n as number) <= MAX_CONTEXT,
    `a whole number from 1 to ${MAX_CONTEXT}`,
  );
  checkChoice('precision', precision, MATMUL_PRECISIONS);
  checkOptional('threads', threads, isPositiveInteger, 'a whole number from 1 on');
  checkOptional('cacheFolder', cacheFolder, (path) => isText(path) && path !== '', 'the path of a folder');
  checkOptional('verify', verify, isBoolean, 'true or false');
  checkOptional('onProgress', onProgress, isFunction, 'a function');
  checkSignal(signal);
}

/** Longer than any model is trained for; the buffers of longer ones would fit nowhere. */
const MAX_CONTEXT = 2 ** 24;

/** Where each part of loading stands in the whole: shares of the time, roughly. */
const DOWNLOAD = [0, 0.4] as const;
const CALIBRATION = [0.4, 0.8] as const;
const LOADING = [0.8, 1] as const;

/** Opens `nano`, `hf:OWNER/REPO[/FILE]`, an address, a path, a Blob or a URL. Throws the codes of files, hubs and tokenizers. */
export async function openModelFile(source: SourceLocation, options: LoadOptions): Promise<ModelFile> {
  const { precision, cacheFolder, signal, onProgress, ...settings } = omitUndefined(options);
  const loading = createLoading(onProgress);
  const location = await locateModel(source, { cacheFolder, signal }, loading.part(...DOWNLOAD));
  const gguf = await openGguf(location);
  const { path } = gguf;
  try {
    // An architecture that cannot be run is the fault to report, whatever tokenizer it comes with.
    architectureOf(gguf);
    const companions = await readCompanionFiles(location);
    const tokenizer = await openTokenizer(gguf, () => companions.tokenizerJson());
    const { context: _, ...trained } = settings;
    const loadWith = (settings: typeof trained) => (precision: MatmulPrecision, stretch: LoadStretch) =>
      loadTransformerSegments(gguf, {
        ...settings,
        ...omitUndefined({ cacheFolder, signal }),
        precision,
        onProgress: segmentProgress(stretch),
      });
    return {
      name: gguf.metadata.stringOr('general.name', path),
      path,
      location,
      gguf,
      tokenizer,
      chatTemplate: () => createChatTemplate(gguf, { template: companions.chatTemplate() }),
      choosePrecision: async () =>
        precision ??
        DEFAULT_PRECISION ??
        // A calibration serves every context, so that it is made with the model's own.
        choosePrecision({
          gguf,
          tokenizer,
          load: loadWith(trained),
          cacheFolder,
          signal,
          loading: loading.part(...CALIBRATION),
        }),
      load: (precision) => loadWith(settings)(precision, loading.part(...LOADING)),
      fingerprint: () => fingerprintTensors(gguf, {}),
      [Symbol.asyncDispose]: () => gguf.close(),
    };
  } catch (error) {
    await gguf.close();
    throw error;
  }
}

/** Where the file of a model is, fetched from the hub where need be. */
async function locateModel(
  source: SourceLocation,
  options: Pick<LoadOptions, 'cacheFolder' | 'signal'>,
  stretch: LoadStretch,
): Promise<SourceLocation> {
  if (source === 'nano') return nanoLocation();
  if (typeof source !== 'string') return source;
  // Loaded only where it is needed: a page need not carry it.
  const { resolveModel } = await import('../hub/index.ts');
  return resolveModel(source, { ...options, onProgress: (bytes) => stretch.report({ phase: 'download', ...bytes }) });
}

/** The tokenizer of the file; where it has none, or one of a kind that is not known, the tokenizer.json beside it. */
async function openTokenizer(gguf: GgufFile, readJson: () => Promise<string | undefined>): Promise<Tokenizer> {
  if (!gguf.metadata.has('tokenizer.ggml.tokens')) return createTokenizer(gguf, { tokenizerJson: await readJson() });
  try {
    return createTokenizer(gguf);
  } catch (error) {
    const unknown = error instanceof KeysieveError && error.code === 'unsupported-tokenizer';
    const tokenizerJson = unknown ? await readJson() : undefined;
    if (tokenizerJson !== undefined) return createTokenizer(gguf, { tokenizerJson });
    throw error;
  }
}

/** The options that were given, without those that are undefined. */
export function omitUndefined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
