/** What the routes of all APIs share: the signal of a request, and its answer as a whole or as a stream. */
import type { Context } from 'hono';
import { ApiError, unavailable } from './api-error.ts';
import type { ServerEvent } from './event-stream.ts';
import { comment, eventStreamResponse } from './event-stream.ts';

/** Requests in progress. */
export interface Requests {
  /**
   * A signal that fires when the client goes away, when the request has taken too long, and when the server stops;
   * call `end` when the request has been answered.
   */
  begin(c: Context): RequestScope;
  /** Resolves when none is in progress. */
  idle(): Promise<void>;
  /** Ends all of them with the reason that the server stops. */
  abortAll(): void;
  readonly count: number;
}

export interface RequestScope {
  signal: AbortSignal;
  abort(reason: unknown): void;
  end(): void;
}

/** The client closed the connection: nobody reads this. */
const clientGone = () =>
  new ApiError({ status: 499, type: 'client_error', code: 'client_closed', message: 'The client has gone.' });

const STOP_RETRY_SECONDS = 10;

export function createRequests(maxRequestMs: number): Requests {
  const running = new Set<RequestScope>();
  const waiting: (() => void)[] = [];
  return {
    begin(c) {
      const controller = new AbortController();
      const client = c.req.raw.signal;
      const onGone = () => controller.abort(clientGone());
      client.addEventListener('abort', onGone, { once: true });
      if (client.aborted) onGone();
      const message = `The request took longer than the ${Math.round(maxRequestMs / 1000)} s that are allowed.`;
      const timer = setTimeout(() => controller.abort(unavailable('request_timeout', message, 1)), maxRequestMs);
      const scope = {
        signal: controller.signal,
        abort: (reason: unknown) => controller.abort(reason),
        end() {
          clearTimeout(timer);
          client.removeEventListener('abort', onGone);
          running.delete(scope);
          if (running.size === 0) for (const resolve of waiting.splice(0)) resolve();
        },
      };
      running.add(scope);
      return scope;
    },
    idle: () => (running.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    abortAll() {
      const reason = unavailable('server_stopping', 'The server is stopping.', STOP_RETRY_SECONDS);
      for (const scope of running) scope.abort(reason);
    },
    get count() {
      return running.size;
    },
  };
}

export interface StreamFormat {
  keepAliveMs: number;
  /** The events that tell of a failure. */
  onError(error: unknown): ServerEvent[];
  /** Default: a comment. */
  keepAlive?: () => string;
}

/** Streams the events that `run` gives. Throws what it throws before the first of them. */
export async function respondWithStream(
  scope: RequestScope,
  run: (signal: AbortSignal) => AsyncGenerator<ServerEvent, void>,
  { keepAliveMs, onError, keepAlive = () => comment('working') }: StreamFormat,
): Promise<Response> {
  async function* events() {
    try {
      yield* run(scope.signal);
    } finally {
      scope.end();
    }
  }
  const onCancel = () => scope.abort(clientGone());
  return eventStreamResponse(events(), { keepAliveMs, keepAlive, onError, onCancel });
}

/** Waits for the answer that `run` gives. */
export async function respondWhole<T>(scope: RequestScope, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  try {
    return await run(scope.signal);
  } finally {
    scope.end();
  }
}

/** What was thrown, or the reason why its signal fired, which says more than that it did. */
export function reasonOf(error: unknown): unknown {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  return code === 'aborted' && cause instanceof Error ? cause : error;
}
