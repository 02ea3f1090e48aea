/** The server: its parts put together, listening, and its end. */
import { once } from 'node:events';
import { access, constants, mkdir } from 'node:fs/promises';
import type { Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createAdaptorServer } from '@hono/node-server';
import { KeysieveError, llmError } from '@keysieve/llm';
import { createApp } from './app.ts';
import { createModels } from './engine/models.ts';
import { createQueue } from './engine/queue.ts';
import { ApiError, openAiError } from './http/api-error.ts';
import { describeError, silentLogger } from './http/log.ts';
import { createRequests } from './http/respond.ts';
import { createMetrics } from './metrics.ts';
import { resolveOptions, type ServerOptions } from './options.ts';

/** A server that listens. */
export interface Server {
  /** `http://HOST:PORT`, without a slash at its end. */
  readonly url: string;
  /** Resolves when the first model is loaded; rejects with the error that kept it from being loaded. */
  readonly ready: Promise<void>;
  /**
   * Stops: takes no more requests, gives those in progress some seconds to finish, aborts the others, and frees the
   * models. Calling it again waits for the same end.
   */
  close(): Promise<void>;
}

const IDLE_CHECK_MS = 20;
const FLUSH_MS = 2000;

/** Throws `address-unavailable`. */
async function listen(http: HttpServer, port: number, host: string): Promise<void> {
  http.listen(port, host);
  try {
    await once(http, 'listening');
  } catch (cause) {
    throw new KeysieveError({
      code: 'address-unavailable',
      problem: 'The address cannot be listened on.',
      found: `${host}, port ${port} (${(cause as NodeJS.ErrnoException).code})`,
      remedy: 'Give another port, or 0 for a free one, and an address of this machine.',
      cause,
    });
  }
}

/**
 * Starts to listen, and to load the first model. Throws `invalid-argument` for options that are out of range or unsafe,
 * `cache-folder-unwritable`, and `address-unavailable` where the address cannot be had.
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const settings = resolveOptions(options);
  const { limits, host, port, cacheFolder } = settings;
  if (cacheFolder !== undefined) await checkFolder(cacheFolder);
  const logger = options.logger ?? silentLogger();
  const models = createModels(settings.models, {
    sessions: limits,
    prefixes: { memoryLimit: limits.maxCacheBytes, folder: cacheFolder, folderLimit: limits.maxFolderBytes },
    memoryLimit: limits.maxModelBytes,
    onLoadFailed: (model, error) => logger.error({ model, ...describeFailure(error) }),
  });
  const queue = createQueue(limits);
  const requests = createRequests(limits.maxRequestMs);
  const service = { settings, models, queue, metrics: createMetrics(models, queue) };
  let closing: Promise<void> | undefined;
  const app = createApp({ service, requests, logger, isStopping: () => closing !== undefined });

  const http = createAdaptorServer({ fetch: app.fetch }) as HttpServer;
  http.on('clientError', refuseMalformed);
  await listen(http, port, host);
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${(http.address() as AddressInfo).port}`;
  const loading = new AbortController();
  const ready = models.acquire(undefined, loading.signal).then(
    ({ release }) => release(),
    // What clients are told of a failure says less than what failed.
    (error) => {
      throw (error as Error).cause ?? error;
    },
  );
  ready.catch(() => {});

  async function stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => http.close(() => resolve()));
    const abortTimer = setTimeout(() => requests.abortAll(), limits.stopMs);
    await requests.idle();
    clearTimeout(abortTimer);
    // Connections become idle once the last bytes of their answers are out; a client that does not take them is cut off.
    const idleTimer = setInterval(() => http.closeIdleConnections(), IDLE_CHECK_MS);
    const cutTimer = setTimeout(() => http.closeAllConnections(), FLUSH_MS);
    await closed;
    clearInterval(idleTimer);
    clearTimeout(cutTimer);
    await models.dispose();
  }

  return {
    url,
    ready,
    close() {
      closing ??= stop();
      return closing;
    },
  };
}

/** Where the failure is no defect, its message says all that there is to say. */
const describeFailure = (error: unknown): object =>
  error instanceof KeysieveError
    ? { code: error.code, message: error.message }
    : { error: describeError(error), message: String(error) };

/** Makes the folder where it is missing. Throws `cache-folder-unwritable` where nothing can be written to it. */
async function checkFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
    await access(path, constants.W_OK);
  } catch (cause) {
    throw llmError({
      code: 'cache-folder-unwritable',
      problem: 'Prompts cannot be kept in this folder.',
      found: `${path} (${(cause as NodeJS.ErrnoException).code})`,
      remedy: 'Name a folder that can be written, or none.',
      cause,
    });
  }
}

/** Answers what is not HTTP, which no route sees. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400;
  const message = status === 431 ? 'The headers are too large.' : 'This is not a valid HTTP request.';
  const failure = new ApiError({ status, type: 'invalid_request_error', code: 'malformed_request', message });
  const body = JSON.stringify(openAiError(failure));
  socket.end(
    `HTTP/1.1 ${status} Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
