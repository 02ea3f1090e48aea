/** `POST /v1/chat/completions`: the answer as a whole, or as chunks. */
import { randomUUID } from 'node:crypto';
import type { GenerationResult, TokenProbabilities } from '@keysieve/llm';
import { type AnsweredCall, type ChatEvent, type FinishReason, runChat } from '../chat/chat.ts';
import type { ChatJob } from '../chat/job.ts';
import type { Service } from '../chat/run.ts';
import { openAiUsage, timings, usageOf } from '../chat/usage.ts';
import type { LoadedModel } from '../engine/models.ts';
import type { ServerEvent } from '../http/event-stream.ts';
import { chatLogprobs } from './logprobs.ts';

export interface ChunkOptions {
  includeUsage: boolean;
  includeProgress: boolean;
}

interface Identity {
  id: string;
  created: number;
}

const identify = (): Identity => ({ id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000) });

interface Choice {
  text: string;
  calls: AnsweredCall[];
  probabilities: TokenProbabilities[];
  finishReason: FinishReason;
  result?: GenerationResult;
}

/** The whole answer. */
export async function chatCompletion(service: Service, job: ChatJob, signal: AbortSignal) {
  const identity = identify();
  const choices = Array.from({ length: job.choices }, (): Choice => {
    return { text: '', calls: [], probabilities: [], finishReason: 'stop' };
  });
  let loaded: LoadedModel | undefined;
  for await (const event of runChat(service, job, signal)) {
    if (event.type === 'prepared') loaded = event.loaded;
    if (!('choice' in event)) continue;
    const choice = choices[event.choice] as Choice;
    if (event.type === 'text') {
      choice.text += event.text;
      choice.probabilities.push(...event.probabilities);
    } else if (event.type === 'call') choice.calls.push(event.call);
    else {
      choice.finishReason = event.finishReason;
      choice.result = event.result;
    }
  }
  const { id: model, model: served } = loaded as LoadedModel;
  const usage = usageOf(
    choices.flatMap(({ result }) => result ?? []),
    job.choices,
  );
  return {
    id: identity.id,
    object: 'chat.completion',
    created: identity.created,
    model,
    system_fingerprint: null,
    choices: choices.map(({ text, calls, probabilities, finishReason }, index) => ({
      index,
      message: {
        role: 'assistant',
        content: text === '' && calls.length > 0 ? null : text,
        refusal: null,
        ...(calls.length > 0 && { tool_calls: calls.map(describeCall) }),
      },
      logprobs: job.topTokens === undefined ? null : chatLogprobs(probabilities, served.tokenizer),
      finish_reason: finishReason,
    })),
    usage: openAiUsage(usage),
    timings: timings(usage),
  };
}

/** The answer as chunks: one with the role first, one with the reason last, then usage where it is asked for. */
export async function* chatChunks(
  service: Service,
  job: ChatJob,
  { includeUsage, includeProgress }: ChunkOptions,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void> {
  const identity = identify();
  const begun = new Set<number>();
  const results: GenerationResult[] = [];
  let loaded: LoadedModel | undefined;

  const frame = (choices: unknown[], more: object = {}): ServerEvent => ({
    data: JSON.stringify({
      id: identity.id,
      object: 'chat.completion.chunk',
      created: identity.created,
      model: loaded?.id,
      system_fingerprint: null,
      choices,
      ...(includeUsage && { usage: null }),
      ...more,
    }),
  });
  const delta = (index: number, fields: object, more: object = {}) =>
    frame([{ index, delta: fields, logprobs: null, finish_reason: null, ...more }]);

  for await (const event of runChat(service, job, signal)) {
    if (event.type === 'prepared') loaded = event.loaded;
    else if (event.type === 'prefill') {
      if (includeProgress) yield frame([], { prompt_progress: promptProgress(event) });
    } else {
      const { choice: index } = event;
      if (!begun.has(index)) yield delta(index, { role: 'assistant', content: '' });
      begun.add(index);
      if (event.type === 'text') {
        const { text, probabilities } = event;
        const logprobs =
          loaded === undefined || job.topTokens === undefined
            ? null
            : chatLogprobs(probabilities, loaded.model.tokenizer);
        if (text !== '' || probabilities.length > 0) yield delta(index, { content: text }, { logprobs });
      } else if (event.type === 'call') {
        const { arguments: args, ...call } = describeCall(event.call).function;
        const header = { index: event.index, id: event.call.id, type: 'function' };
        yield delta(index, { tool_calls: [{ ...header, function: { ...call, arguments: '' } }] });
        yield delta(index, { tool_calls: [{ index: event.index, function: { arguments: args } }] });
      } else {
        results.push(event.result);
        const isLast = results.length === job.choices;
        yield frame(
          [{ index, delta: {}, logprobs: null, finish_reason: event.finishReason }],
          isLast ? { timings: timings(usageOf(results, job.choices)) } : {},
        );
      }
    }
  }
  if (includeUsage) {
    const usage = usageOf(results, job.choices);
    yield frame([], { usage: openAiUsage(usage), timings: timings(usage) });
  }
  yield { data: '[DONE]' };
}

/** llama.cpp's `prompt_progress`. */
export const promptProgress = ({
  total,
  cached,
  processed,
  milliseconds,
}: Extract<ChatEvent, { type: 'prefill' }>) => ({
  total,
  cache: cached,
  processed,
  time_ms: Math.round(milliseconds),
});

const describeCall = ({ id, name, arguments: args }: AnsweredCall) => ({
  id,
  type: 'function',
  function: { name, arguments: args },
});
