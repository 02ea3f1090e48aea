/**
 * What Node and the browser do differently. `#platform` is one of two modules that export all of this, chosen when the
 * package is built or run (`imports` of package.json): nothing else in this package asks where it runs.
 */
import type { ByteSource, SourceLocation } from '../io/source.ts';
import type { Store } from '../io/store.ts';

export interface Platform {
  /** Opens a path, a Blob or a URL. Throws `SourceError`. */
  openSource(location: SourceLocation): Promise<ByteSource>;
  /** The file of that name beside another; undefined where nothing is beside it, as with a Blob. */
  siblingOf(location: SourceLocation, name: string): SourceLocation | undefined;
  /** Where the embedded model lies. */
  nanoLocation(): SourceLocation;
  /** What is kept between runs: models of hubs, and small findings about models and this machine. */
  cacheStore(cacheFolder: string | undefined): Store;
  /** Where a file of the user's is written: in which store, by which name, and by which until it is whole. */
  fileTarget(path: string): Promise<{ store: Store; name: string; temporary?: string | undefined }>;
  /** A folder that the user names. */
  folderStore(path: string): Store;
  /** Where weights are looked for that were prepared before. */
  weightsStore(cacheFolder: string | undefined): Store;
  /** Where weights are prepared. Throws `cache-folder-unwritable`. */
  openWeightsStore(cacheFolder: string | undefined): Promise<OpenStore>;
  createSha256(): Sha256;
  /** The precision of dense layers that is taken without measuring; undefined where it is measured for each model. */
  DEFAULT_PRECISION: 'fp32' | undefined;
  /** Processors that this process may use. */
  usableProcessors(): Promise<number>;
  /** Watches what the processors do until the returned function is called: how many are not busy with other work. */
  watchProcessors(): () => Promise<number>;
  /** Tells this machine and engine from others whose speed may differ. */
  machine(): unknown;
  /** Parses or renders a chat template. Never throws. */
  runTemplate(request: TemplateRequest): TemplateResult;
  /**
   * Runs `work`, and ends it after a number of milliseconds where the platform can. Throws `error()` where that happens,
   * and what `work` throws.
   */
  withTimeLimit<T>(milliseconds: number, work: () => T, error: () => Error): T;
  /** An instance of its own of the library that grammars are compiled with. Throws `grammar-unavailable`. */
  loadXGrammar(): Promise<XGrammarInstance>;
  /** A variable of the environment; undefined where there is none. */
  environment(name: string): string | undefined;
  /** Tells the developer something that is no error. */
  warn(message: string, details: { code: string; detail?: string }): void;
  /** Prints what was asked for by KEYSIEVE_TRACE. */
  printTrace(text: string): void;
}

export type XGrammar = typeof import('@mlc-ai/web-xgrammar');

export interface XGrammarInstance {
  library: XGrammar;
  /** The last line that it printed: why it has aborted. */
  lastMessage(): string;
}

export interface OpenStore {
  readonly store: Store;
  /** Removes what was made for this process only. */
  release(): Promise<void>;
}

/** SHA-256 of bytes that come in pieces. */
export interface Sha256 {
  /** Texts count as UTF-8. */
  update(part: Uint8Array | string): void;
  /** Hexadecimal; nothing can be added after it. */
  digest(): string;
}

export interface TemplateRequest {
  /** The Jinja source. */
  source: string;
  /** Undefined: the template is parsed only. */
  variables?: Record<string, unknown>;
}

/** `parse`: not Jinja; `render`: refused by the template; `limit`: it did not end within the limits. */
export type TemplateResult = { text: string } | { failed: 'parse' | 'render' | 'limit'; found: string };
