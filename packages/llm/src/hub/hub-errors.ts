/** What can go wrong between here and the hub, as errors of this package. */
import { KeysieveError } from 'keysieve';
import type { LlmError } from '../errors.ts';
import { llmError } from '../errors.ts';
import { proxyFor } from './proxy.ts';

/** What was asked for, to name it in errors. */
export interface HubRequest {
  /** `OWNER/REPO` or `OWNER/REPO/FILE`. */
  what: string;
  hubUrl: string;
  signal: AbortSignal | undefined;
}

/** The error of a request that failed: its own where it is one of this package already. */
export function hubError(cause: unknown, request: HubRequest): KeysieveError {
  if (request.signal?.aborted) return aborted(request.what, request.signal.reason);
  if (cause instanceof KeysieveError) return cause;
  return unreachable(cause instanceof Error ? reasonOf(cause) : String(cause), request, cause);
}

export function statusError(status: number, request: HubRequest): LlmError {
  if (status === 401 || status === 403) {
    return llmError({
      code: 'hub-access-denied',
      problem: `The hub does not give out ${request.what}: it is private, gated, or not there.`,
      found: `status ${status}`,
      remedy: 'Check the name; accept the terms on its page; and set HF_TOKEN to a token that may read it.',
    });
  }
  if (status === 404) return notFound(request);
  return unreachable(`status ${status}`, request);
}

function notFound({ what, hubUrl }: HubRequest): LlmError {
  return llmError({
    code: 'hub-file-not-found',
    problem: `There is no ${what} at ${hubUrl}.`,
    found: 'status 404',
    remedy: 'Check the names of owner, repository and file.',
  });
}

export function unreachable(found: string, { what, hubUrl }: HubRequest, cause?: unknown): LlmError {
  const proxy = proxyFor(hubUrl);
  return llmError({
    code: 'hub-unreachable',
    problem: `${what} cannot be fetched from ${hubUrl}${proxy === undefined ? '' : `, through the proxy ${proxy}`}.`,
    found,
    remedy:
      'Check the connection and run it again: what has been fetched is kept, and a download goes on from there. ' +
      'Without a connection, give the path of a file.',
    cause,
  });
}

export function aborted(what: string, cause: unknown): LlmError {
  return llmError({
    code: 'aborted',
    problem: `Fetching ${what} was aborted.`,
    remedy: 'Run it again to go on: what has been fetched is kept.',
    cause,
  });
}

export function corrupt(what: string, found: string): LlmError {
  return llmError({
    code: 'hub-file-corrupt',
    problem: `What came for ${what} is not what the hub announced.`,
    found,
    remedy: 'It has been deleted: run it again, and look for a proxy that changes downloads if it comes again.',
  });
}

export function unwritable(path: string, cause: unknown): LlmError {
  return llmError({
    code: 'cache-folder-unwritable',
    problem: `The download cannot be written to ${path}.`,
    found: (cause as NodeJS.ErrnoException).code ?? String(cause),
    remedy:
      'Make room or give write access there, or name another folder by the option cacheFolder or by KEYSIEVE_CACHE.',
    cause,
  });
}

/** The innermost reason: `ECONNREFUSED` rather than `fetch failed`. */
function reasonOf(error: Error): string {
  const { cause } = error;
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return reasonOf(cause.errors[0]);
  if (cause instanceof Error) return reasonOf(cause);
  return (error as NodeJS.ErrnoException).code ?? error.message;
}
