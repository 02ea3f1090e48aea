/** The errors that clients see, and what each failure becomes as one. */
import { KeysieveError } from '@keysieve/llm';

export interface ApiErrorDetails {
  /** HTTP status. */
  status: number;
  /** Kind of error, as OpenAI's clients know it: `invalid_request_error`, `server_error`, ... */
  type: string;
  /** What went wrong, stable across versions: programs switch on it. */
  code: string;
  message: string;
  /** The field of the request that is at fault, `messages.0.content`. */
  param?: string;
  /** Seconds after which another try may succeed. */
  retryAfter?: number;
  /** Further fields of the error object. */
  extra?: Record<string, number | string>;
  cause?: unknown;
}

/** A failure with the HTTP status and the fields that the client is told. */
export class ApiError extends Error {
  readonly details: ApiErrorDetails;

  constructor(details: ApiErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'ApiError';
    this.details = details;
  }
}

/** A request that cannot be served as it is. */
export const invalidRequest = (message: string, param?: string, code = 'invalid_value'): ApiError =>
  new ApiError({
    status: 400,
    type: 'invalid_request_error',
    code,
    message,
    ...(param !== undefined && { param }),
  });

/** A server that cannot take the request now. */
export const unavailable = (code: string, message: string, retryAfter: number): ApiError =>
  new ApiError({ status: 503, type: 'unavailable_error', code, message, retryAfter });

/** A prompt that does not fit: named as llama.cpp's server does, with OpenAI's code. */
export const contextExceeded = (promptTokens: number, contextLength: number): ApiError =>
  new ApiError({
    status: 400,
    type: 'exceed_context_size_error',
    code: 'context_length_exceeded',
    message:
      `The prompt has ${promptTokens} tokens and the context holds ${contextLength}. ` +
      'Shorten the prompt, or serve the model with a larger --context.',
    extra: { n_prompt_tokens: promptTokens, n_ctx: contextLength },
  });

/** Codes of KeysieveError that the request is to blame for. */
const CLIENT_FAULTS: ReadonlySet<string> = new Set([
  'invalid-argument',
  'prompt-empty',
  'chat-messages-invalid',
  'chat-template-missing',
]);
/** Codes that pass: memory that other answers hold, a server that stops. */
const PASSING_FAULTS: ReadonlySet<string> = new Set(['cache-out-of-memory', 'cache-full', 'out-of-memory', 'disposed']);
const MEMORY_RETRY_SECONDS = 10;

/** Any failure as one that a client may see: nothing of an unexpected error shows. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const cause = error;
  if (error instanceof KeysieveError) {
    const { code, message } = error;
    if (CLIENT_FAULTS.has(code)) {
      return new ApiError({ status: 400, type: 'invalid_request_error', code, message, cause });
    }
    if (PASSING_FAULTS.has(code)) {
      const retryAfter = MEMORY_RETRY_SECONDS;
      return new ApiError({ status: 503, type: 'unavailable_error', code, message, retryAfter, cause });
    }
    return new ApiError({ status: 500, type: 'server_error', code, message, cause });
  }
  return new ApiError({
    status: 500,
    type: 'server_error',
    code: 'internal_error',
    message: 'The server failed; its log says where.',
    cause,
  });
}

/** The error object of OpenAI's API. */
export function openAiError({ details }: ApiError): { error: Record<string, unknown> } {
  const { message, type, code, param, extra } = details;
  return { error: { message, type, param: param ?? null, code, ...extra } };
}

/** The error object of Anthropic's API. */
export function anthropicError({ details }: ApiError): { type: 'error'; error: Record<string, unknown> } {
  return { type: 'error', error: { type: anthropicType(details.status), message: details.message } };
}

function anthropicType(status: number): string {
  const types: Record<number, string> = {
    401: 'authentication_error',
    403: 'permission_error',
    404: 'not_found_error',
    413: 'request_too_large',
    429: 'rate_limit_error',
    503: 'overloaded_error',
  };
  return types[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error');
}

/** Headers that go with an error. */
export const errorHeaders = ({ details }: ApiError): Record<string, string> =>
  details.retryAfter === undefined ? {} : { 'Retry-After': String(Math.max(1, Math.ceil(details.retryAfter))) };
