/** What is logged: each request with its status and time, and failures; never the text of a request. */
import { randomUUID } from 'node:crypto';
import { printableJson } from '@keysieve/llm';
import type { MiddlewareHandler } from 'hono';
import pino, { type Logger } from 'pino';

/** A logger that says nothing. */
export const silentLogger = (): Logger => pino({ enabled: false });

/**
 * A logger that writes lines of JSON: failures alone at the level `error`, each request at `info`. Paths are of the clients'
 * choosing, and messages may quote a model's file: what could not be seen in a terminal is escaped.
 */
export const createLogger = (level: 'error' | 'info', stream: NodeJS.WritableStream): Logger =>
  pino({ level, base: null }, { write: (line) => void stream.write(`${printableJson(JSON.parse(line))}\n`) });

export interface AppVariables {
  requestId: string;
  /** What tells the prompt's beginning; undefined until it is known. */
  prefixHash: string | undefined;
}

/** Gives each request an identifier, and logs it when its answer has begun. */
export function logRequests(logger: Logger): MiddlewareHandler<{ Variables: AppVariables }> {
  return async (c, next) => {
    const started = performance.now();
    const requestId = randomUUID();
    c.set('requestId', requestId);
    await next();
    c.res.headers.set('X-Request-Id', requestId);
    const { method, path } = c.req;
    logger.info({ requestId, method, path, status: c.res.status, ms: Math.round(performance.now() - started) });
  };
}

/** An error without its message, which may quote the request: its name, code and where it was thrown. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error };
  const { code } = error as { code?: unknown };
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line));
  return {
    name: error.name,
    ...(typeof code === 'string' && { code }),
    ...(frames !== undefined && { stack: frames.map((line) => line.trim()) }),
    ...(error.cause !== undefined && { cause: describeError(error.cause) }),
  };
}
