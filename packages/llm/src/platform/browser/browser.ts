/** `#platform` in a browser, in its pages and workers. */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { llmError } from '../../errors.ts';
import { openBlob } from '../../io/blob-source.ts';
import { createMemoryStore } from '../../io/memory-store.ts';
import { SourceError, type SourceLocation } from '../../io/source.ts';
import { openUrl } from '../../io/url-source.ts';
import type { Platform, Sha256 } from '../platform.ts';
import { createOpfsStore } from './opfs-store.ts';

export { runTemplate } from './template.ts';

export const openSource: Platform['openSource'] = async (location) => {
  if (location instanceof Blob) return openBlob(location);
  const base = globalThis.location?.href;
  if (typeof location === 'string' && !URL.canParse(location, base)) {
    throw new SourceError('not-found', location, 'a text that is no address');
  }
  return openUrl(new URL(location, base));
};

export function siblingOf(location: SourceLocation, name: string): SourceLocation | undefined {
  if (location instanceof Blob) return undefined;
  return new URL(encodeURIComponent(name), new URL(location, globalThis.location?.href));
}

// Written out, since this is how bundlers find the file.
export const nanoLocation = (): SourceLocation => new URL('../../models/nano.gguf', import.meta.url);

const DEFAULT_FOLDER = 'keysieve';

export const cacheStore: Platform['cacheStore'] = (cacheFolder = DEFAULT_FOLDER) => createOpfsStore(cacheFolder);

export const folderStore: Platform['folderStore'] = (path) => createOpfsStore(path);

/** Files of the user's are those of the origin's storage. */
export const fileTarget: Platform['fileTarget'] = async (path) => ({
  store: cacheStore(undefined),
  name: `files/${path}`,
});

/** ONNX Runtime wants weights in memory, and to make them of the model's file costs no more than to read them. */
export const weightsStore: Platform['weightsStore'] = () => createMemoryStore('the memory of the page');

export const openWeightsStore: Platform['openWeightsStore'] = async () => {
  return { store: weightsStore(undefined), release: async () => {} };
};

export function createSha256(): Sha256 {
  const hash = sha256.create();
  return {
    update: (part) => {
      hash.update(typeof part === 'string' ? new TextEncoder().encode(part) : part);
    },
    digest: () => bytesToHex(hash.digest()),
  };
}

/** Threads share memory, which a page has only where it is isolated from other origins (COOP and COEP). */
export const usableProcessors: Platform['usableProcessors'] = async () =>
  globalThis.crossOriginIsolated ? Math.max(1, navigator.hardwareConcurrency) : 1;

/** A browser does not tell how busy the processors are. */
export const watchProcessors: Platform['watchProcessors'] = () => usableProcessors;

/** ONNX Runtime has no fast kernels for quantized weights there: it decodes them anew for every product. */
export const DEFAULT_PRECISION: Platform['DEFAULT_PRECISION'] = 'fp32';

export const machine = () => [navigator.userAgent, navigator.hardwareConcurrency];

/** A browser cannot end work in the middle: who runs a model in a worker can end that. */
export const withTimeLimit: Platform['withTimeLimit'] = (_milliseconds, work) => work();

export const environment = (): string | undefined => undefined;

export const warn: Platform['warn'] = (message, { detail }) => console.warn(detail ? `${message}\n${detail}` : message);

export const printTrace = (text: string): void => console.info(text);

/** The library's package cannot be bundled as it is. */
export const loadXGrammar: Platform['loadXGrammar'] = async () => {
  throw llmError({
    code: 'grammar-unavailable',
    problem: 'Answers cannot be held to a grammar in a browser yet.',
    remedy: 'Leave the grammar out, or give a constraint of your own.',
  });
};
