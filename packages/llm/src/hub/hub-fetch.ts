/**
 * The `fetch` of everything that comes from the hub: through the proxy that the environment names, with the token for
 * the hub alone, tried again where the hub asks to come later, and with an end to every answer that is read whole.
 */
import { platformFetch } from '#hub-transfer';
import type { HubFetch } from './transfer.ts';

export interface HubFetchOptions {
  hubUrl: string;
  signal: AbortSignal | undefined;
  /** Milliseconds before the second try; each later one waits twice as long. */
  backoffMs: number;
}

const TRIES = 4;
/** The hub may ask for a longer pause than anybody would wait for. */
const MAX_RETRY_AFTER_MS = 60_000;
/** Too many requests, and a server that cannot answer now. */
const RETRIED_STATUSES: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** A connection on which nothing comes for so long is given up. */
const SILENCE_MS = 60_000;
/** Bytes of a listing or of an error: the page of 1,000 files has some 500 KB. */
const MAX_ANSWER_BYTES = 2 ** 25;

export async function createHubFetch({ hubUrl, signal, backoffMs }: HubFetchOptions): Promise<HubFetch> {
  const fetch = await platformFetch(SILENCE_MS);
  const hubOrigin = new URL(hubUrl).origin;

  return async (url, init = {}) => {
    const headers = new Headers(init.headers);
    // A listing may go on at another host; redirects to one lose the token by themselves.
    if (new URL(url).origin !== hubOrigin) headers.delete('Authorization');
    const request = { ...init, headers: Object.fromEntries(headers), signal: signal ?? null };
    for (let tries = 1; ; tries++) {
      const response = await fetch(url, request);
      if (!RETRIED_STATUSES.has(response.status) || tries === TRIES) return response;
      await response.body?.cancel();
      await sleep(retryAfterMs(response) ?? backoffMs * 2 ** (tries - 1), signal);
    }
  };
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** What the header Retry-After asks for: seconds, or a date. */
function retryAfterMs(response: Response): number | undefined {
  const value = response.headers.get('retry-after');
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS) : undefined;
}

/** For answers that are read whole: an error where the body is longer than any listing. */
export function limitBody(fetch: HubFetch): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await fetch(String(input), init);
    if (response.body === null) return response;
    let bytes = 0;
    const limit = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) controller.error(new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`));
        else controller.enqueue(chunk);
      },
    });
    const { status, statusText, headers } = response;
    return new Response(response.body.pipeThrough(limit), { status, statusText, headers });
  };
}
