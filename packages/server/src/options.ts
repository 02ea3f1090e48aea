/** What a server is told, and what holds where it is not. */
import { totalmem } from 'node:os';
import { DEFAULT_ATTENTION, DEFAULT_FOLDER_LIMIT, llmError } from '@keysieve/llm';
import { createPolicy, type PolicySpec } from 'keysieve';
import type { Logger } from 'pino';
import type { ModelSource } from './engine/models.ts';

/** How a server is set up. */
export interface ServerOptions {
  /** The models that it offers; the first is loaded at once, and answers requests that name none. */
  models: readonly ModelSource[];
  /** Address that it listens on. Default: 127.0.0.1. Others than loopback need an `apiKey`. */
  host?: string;
  /** Default: 8080; 0 takes a free one. */
  port?: number;
  /** Key that requests must bring, as `Authorization: Bearer KEY` or `x-api-key: KEY`. Default: none. */
  apiKey?: string;
  /** Origins whose pages may call it. Default: those of this machine. */
  corsOrigins?: readonly string[];
  /** How answers attend unless their request says otherwise. Default: as sessions do. */
  attention?: PolicySpec;
  /** How prompts are read unless a request says how it attends. Default: as sessions do with that attention. */
  prefill?: PolicySpec;
  /** Folder where what prompts begin with is kept, for later runs and other servers. Default: it ends with the server. */
  cacheFolder?: string;
  limits?: Partial<Limits>;
  /** Where it logs to. Default: nowhere. */
  logger?: Logger;
}

/** What a server bears, and how long it waits. */
export interface Limits {
  /** Requests that are answered at a time: what they generate is decoded together. Default: 4. */
  parallel: number;
  /** Requests that wait for their turn. Default: 64. */
  maxWaiting: number;
  /** Milliseconds that a request waits for its turn. Default: 10 minutes. */
  maxWaitMs: number;
  /** Milliseconds that a request may take in all. Default: an hour. */
  maxRequestMs: number;
  /** Bytes of the body of a request. Default: 16 MiB. */
  maxBodyBytes: number;
  /** Messages of a chat. Default: 4,096. */
  maxMessages: number;
  /** Answers to one request. Default: 16. */
  maxChoices: number;
  /** Sessions whose caches are kept between requests. Default: 4, at least `parallel`. */
  maxSessions: number;
  /**
   * Bytes of the caches that are kept, of idle sessions, and of what prompts begin with: pages of sessions are mostly among
   * these. Default: a quarter of the machine's memory.
   */
  maxCacheBytes: number;
  /** Bytes of the files in `cacheFolder`. Default: 8 GiB. */
  maxFolderBytes: number;
  /** Bytes of loaded models. Default: 60 % of the machine's memory. */
  maxModelBytes: number;
  /** Milliseconds of silence after which a stream gets a sign of life. Default: 3 seconds. */
  keepAliveMs: number;
  /** Milliseconds that answers have to finish once the server is told to stop. Default: 10 seconds. */
  stopMs: number;
}

export type Settings = Required<Pick<ServerOptions, 'models' | 'host' | 'port' | 'attention'>> &
  Pick<ServerOptions, 'prefill' | 'apiKey' | 'corsOrigins' | 'cacheFolder'> & { limits: Limits };

const DEFAULT_LIMITS: Omit<Limits, 'maxCacheBytes' | 'maxModelBytes'> = {
  parallel: 4,
  maxWaiting: 64,
  maxWaitMs: 600_000,
  maxRequestMs: 3_600_000,
  maxBodyBytes: 16 * 2 ** 20,
  maxMessages: 4096,
  maxChoices: 16,
  maxSessions: 4,
  maxFolderBytes: DEFAULT_FOLDER_LIMIT,
  keepAliveMs: 3000,
  stopMs: 10_000,
};

/** Options with their defaults. Throws `invalid-argument` for those that are out of range or unsafe. */
export function resolveOptions(options: ServerOptions): Settings {
  const { models, host = '127.0.0.1', port = 8080, apiKey, corsOrigins, cacheFolder } = options;
  const { attention = DEFAULT_ATTENTION, prefill } = options;
  for (const policy of [attention, prefill]) if (policy !== undefined) createPolicy(policy);
  const memory = totalmem();
  const limits = {
    ...DEFAULT_LIMITS,
    maxCacheBytes: memory / 4,
    maxModelBytes: memory * 0.6,
    ...options.limits,
  };
  limits.maxSessions = Math.max(limits.maxSessions, limits.parallel);
  for (const [name, value] of Object.entries(limits)) {
    if (value > 0 || (value === 0 && (name === 'maxWaiting' || name === 'stopMs'))) continue;
    throw invalid(`The limit ${name} is out of range.`, value, 'Give a number above 0.');
  }
  if (!(Number.isSafeInteger(port) && port >= 0 && port <= 65_535)) {
    throw invalid('The port is none.', port, 'Give a whole number up to 65535; 0 takes a free one.');
  }
  const isOrigin = (text: string) => URL.canParse(text) && new URL(text).origin === text;
  const wrongOrigin = corsOrigins?.find((origin) => !isOrigin(origin));
  if (wrongOrigin !== undefined) {
    throw invalid('This is no origin of pages.', wrongOrigin, 'Give it without a path, as in https://example.com.');
  }
  const ids = models.map(({ id }) => id);
  if (ids.length === 0) throw invalid('The server has no models.', undefined, 'Name at least one.');
  const duplicate = ids.find((id, index) => ids.indexOf(id) !== index);
  if (duplicate !== undefined) throw invalid('Two models have one name.', duplicate, 'Give each its own: NAME=MODEL.');
  if (apiKey === '') throw invalid('The API key is empty.', undefined, 'Give one of some length, or leave it out.');
  if (!isLoopback(host) && apiKey === undefined) {
    const remedy = 'Give an API key as well, or listen on 127.0.0.1.';
    throw invalid('A server that other machines can reach needs an API key.', host, remedy);
  }
  return {
    models,
    host,
    port,
    attention,
    limits,
    ...(prefill !== undefined && { prefill }),
    ...(apiKey !== undefined && { apiKey }),
    ...(corsOrigins !== undefined && { corsOrigins }),
    ...(cacheFolder !== undefined && { cacheFolder }),
  };
}

/** Whether only this machine can reach an address. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);

const invalid = (problem: string, found: string | number | undefined, remedy: string) =>
  llmError({ code: 'invalid-argument', problem, found, remedy });
