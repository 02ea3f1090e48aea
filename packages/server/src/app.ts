/** The routes: who may call them, what they read, and how their failures look. */
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Logger } from 'pino';
import { countTokens, message, messageEvents, PING } from './anthropic/messages.ts';
import { countTokensRequest, messagesJob, messagesRequest, promptJob } from './anthropic/messages-request.ts';
import type { Service } from './chat/run.ts';
import { allowOrigins, requireKey, requireLocalHost } from './http/access.ts';
import { ApiError, anthropicError, errorHeaders, openAiError, toApiError } from './http/api-error.ts';
import type { ServerEvent } from './http/event-stream.ts';
import { type AppVariables, describeError, logRequests } from './http/log.ts';
import { PREFIX_HEADER, prefixHash } from './http/prefix-header.ts';
import { readJson } from './http/read-json.ts';
import { type Requests, reasonOf, respondWhole, respondWithStream } from './http/respond.ts';
import { chatChunks, chatCompletion } from './openai/chat.ts';
import { chatJob, chatRequest } from './openai/chat-request.ts';
import { completion, completionChunks, completionJob, completionRequest } from './openai/completions.ts';
import { describeModel, describeModels, health } from './openai/models.ts';
import { response, responseFrames } from './openai/responses.ts';
import { responsesJob, responsesRequest } from './openai/responses-request.ts';
import { detokenize, detokenizeRequest, tokenize, tokenizeRequest } from './openai/tokenize.ts';

import { readPage } from './page/page.ts';

type App = Hono<{ Variables: AppVariables }>;

export interface AppParts {
  service: Omit<Service, 'onPrompt'>;
  requests: Requests;
  logger: Logger;
  /** Whether the server is about to end. */
  isStopping(): boolean;
}

/** What is not offered, with what would be. */
const NOT_OFFERED = {
  '/v1/embeddings': 'Embeddings',
  '/v1/images/*': 'Images',
  '/v1/audio/*': 'Audio',
  '/v1/moderations': 'Moderation',
  '/v1/files/*': 'Files',
  '/v1/batches/*': 'Batches',
  '/v1/fine_tuning/*': 'Fine-tuning',
};

export function createApp(parts: AppParts): App {
  const { service, requests, logger } = parts;
  const { settings, metrics } = service;
  const { limits, apiKey } = settings;
  const app: App = new Hono();

  app.onError((error, c) => errorResponse(c, error));
  app.notFound((c) =>
    errorResponse(
      c,
      new ApiError({
        status: 404,
        type: 'invalid_request_error',
        code: 'not_found',
        message: 'There is nothing here.',
      }),
    ),
  );
  app.use(logRequests(logger));
  app.use(async (c, next) => {
    await next();
    metrics.answered(routeOf(c), c.res.status);
    const prefix = c.get('prefixHash');
    if (prefix !== undefined) c.res.headers.set(PREFIX_HEADER, prefix);
  });
  app.use(allowOrigins(settings.corsOrigins));
  if (apiKey === undefined) app.use(requireLocalHost);

  app.get('/health', (c) => {
    const { status, body } = health(service.models.list(), parts.isStopping());
    return c.json(body, status);
  });
  app.get('/', async (c) => {
    const { html, policy } = await readPage();
    return c.html(html, 200, { 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff' });
  });
  if (apiKey !== undefined) app.use(requireKey(apiKey));
  app.use(refuseWhenStopping(parts));
  app.use(
    bodyLimit({
      maxSize: limits.maxBodyBytes,
      onError: () => {
        throw new ApiError({
          status: 413,
          type: 'invalid_request_error',
          code: 'body_too_large',
          message: `The body may have ${limits.maxBodyBytes} bytes.`,
        });
      },
    }),
  );

  app.get('/metrics', async (c) => {
    const { registry } = metrics;
    return c.text(await registry.metrics(), 200, { 'Content-Type': registry.contentType });
  });
  app.get('/v1/models', (c) => c.json(describeModels(service.models.list())));
  app.get('/v1/models/:id{.+}', (c) => c.json(describeModel(service.models.list(), c.req.param('id'))));

  app.post('/tokenize', async (c) => {
    const request = await readJson(c, tokenizeRequest);
    return c.json(await withModel(c, request.model, ({ tokenizer }) => tokenize(request, tokenizer)));
  });
  app.post('/detokenize', async (c) => {
    const request = await readJson(c, detokenizeRequest);
    return c.json(await withModel(c, request.model, ({ tokenizer }) => detokenize(request, tokenizer)));
  });

  const chatSchema = chatRequest(limits);
  app.post('/v1/chat/completions', async (c) => {
    const request = await readJson(c, chatSchema);
    const job = chatJob(request);
    if (!request.stream) return c.json(await whole(c, (signal) => chatCompletion(serviceFor(c), job, signal)));
    return openAiStream(c, (signal) => chatChunks(serviceFor(c), job, chunkOptions(request), signal));
  });

  const completionSchema = completionRequest(limits);
  app.post('/v1/completions', async (c) => {
    const request = await readJson(c, completionSchema);
    const job = completionJob(request);
    if (!request.stream) return c.json(await whole(c, (signal) => completion(serviceFor(c), job, signal)));
    return openAiStream(c, (signal) => completionChunks(serviceFor(c), job, chunkOptions(request), signal));
  });

  const responsesSchema = responsesRequest(limits);
  app.post('/v1/responses', async (c) => {
    const request = await readJson(c, responsesSchema);
    const job = responsesJob(request);
    if (!request.stream) return c.json(await whole(c, (signal) => response(serviceFor(c), job, request, signal)));
    return respondWithStream(requests.begin(c), (signal) => responseFrames(serviceFor(c), job, request, signal), {
      keepAliveMs: limits.keepAliveMs,
      onError(error) {
        const { message, code } = logFailure(c, error).details;
        return [{ event: 'error', data: JSON.stringify({ type: 'error', message, code, param: null }) }];
      },
    });
  });

  const messagesSchema = messagesRequest(limits);
  app.post('/v1/messages', async (c) => {
    const request = await readJson(c, messagesSchema);
    const job = messagesJob(request);
    if (!request.stream) return c.json(await whole(c, (signal) => message(serviceFor(c), job, signal)));
    return respondWithStream(requests.begin(c), (signal) => messageEvents(serviceFor(c), job, signal), {
      keepAliveMs: limits.keepAliveMs,
      keepAlive: () => PING,
      onError: (error) => [{ event: 'error', data: JSON.stringify(anthropicError(logFailure(c, error))) }],
    });
  });
  const countSchema = countTokensRequest(limits);
  app.post('/v1/messages/count_tokens', async (c) => {
    const job = promptJob(await readJson(c, countSchema));
    return c.json(await whole(c, (signal) => countTokens(serviceFor(c), job, signal)));
  });

  for (const [path, name] of Object.entries(NOT_OFFERED)) app.all(path, () => refuse(name));
  allowOnly(app);

  /** What a request runs on: the beginning of its prompt becomes a header of the answer. */
  const serviceFor = (c: Context): Service => ({
    ...service,
    onPrompt(prompt) {
      if (c.get('prefixHash') === undefined) c.set('prefixHash', prefixHash(prompt));
    },
  });

  const whole = <T>(c: Context, run: (signal: AbortSignal) => Promise<T>) => respondWhole(requests.begin(c), run);

  function openAiStream(c: Context, run: (signal: AbortSignal) => AsyncGenerator<ServerEvent, void>) {
    return respondWithStream(requests.begin(c), run, {
      keepAliveMs: limits.keepAliveMs,
      onError(error) {
        const failure = logFailure(c, error);
        return [{ data: JSON.stringify({ choices: [], ...openAiError(failure) }) }, { data: '[DONE]' }];
      },
    });
  }

  async function withModel<T>(c: Context, id: string | null | undefined, use: (model: Loaded) => T): Promise<T> {
    return whole(c, async (signal) => {
      const { loaded, release } = await service.models.acquire(id ?? undefined, signal);
      try {
        return use(loaded.model);
      } finally {
        release();
      }
    });
  }

  function logFailure(c: Context, error: unknown): ApiError {
    const failure = toApiError(reasonOf(error));
    const { status, code, cause } = failure.details;
    const level = status === 500 ? 'error' : 'info';
    const details = status === 500 ? { error: describeError(cause) } : {};
    logger[level]({ requestId: c.get('requestId'), path: c.req.path, status, code, ...details });
    return failure;
  }

  function errorResponse(c: Context, error: unknown): Response {
    const failure = logFailure(c, error);
    const isAnthropic = c.req.path.startsWith('/v1/messages');
    const body = isAnthropic ? anthropicError(failure) : openAiError(failure);
    return c.json(body, failure.details.status as 400, errorHeaders(failure));
  }

  return app;
}

type Loaded = Awaited<ReturnType<Service['models']['acquire']>>['loaded']['model'];

const chunkOptions = ({
  stream_options,
  return_progress,
}: {
  stream_options?: { include_usage?: boolean | null | undefined } | null | undefined;
  return_progress?: boolean | null | undefined;
}) => ({ includeUsage: stream_options?.include_usage ?? false, includeProgress: return_progress ?? false });

function refuseWhenStopping({ isStopping }: AppParts): MiddlewareHandler {
  return (_, next) => {
    if (!isStopping()) return next();
    throw new ApiError({
      status: 503,
      type: 'unavailable_error',
      code: 'server_stopping',
      message: 'The server is stopping.',
      retryAfter: 10,
    });
  };
}

function refuse(name: string): never {
  throw new ApiError({
    status: 501,
    type: 'invalid_request_error',
    code: 'not_implemented',
    message: `${name} are not offered by this server; it generates text.`,
  });
}

/** Answers other methods on known paths with 405 and the methods that there are. */
function allowOnly(app: App): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method !== 'ALL') methods.set(path, (methods.get(path) ?? new Set()).add(method));
  }
  for (const [path, allowed] of methods) {
    app.all(path, (c) => {
      c.header('Allow', [...allowed].join(', '));
      throw new ApiError({
        status: 405,
        type: 'invalid_request_error',
        code: 'method_not_allowed',
        message: `Use ${[...allowed].join(' or ')} here.`,
      });
    });
  }
}

/** The pattern of the route, so that what clients make up does not become labels. */
const routeOf = (c: Context): string => {
  const matched = c.req.matchedRoutes.filter(({ method, path }) => method !== 'ALL' || path !== '/*').at(-1);
  return matched === undefined ? 'unknown' : matched.path;
};
