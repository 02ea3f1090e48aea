/** `POST /v1/completions`: texts that go on from prompts. */
import { randomUUID } from 'node:crypto';
import type { GenerationResult, TokenProbabilities } from '@keysieve/llm';
import { z } from 'zod';
import { finishReason } from '../chat/chat.ts';
import { type JobOptions, runJob, type Service } from '../chat/run.ts';
import { openAiUsage, timings, usageOf } from '../chat/usage.ts';
import type { LoadedModel } from '../engine/models.ts';
import { invalidRequest } from '../http/api-error.ts';
import type { ServerEvent } from '../http/event-stream.ts';
import type { Limits } from '../options.ts';
import { type ChunkOptions, promptProgress } from './chat.ts';
import { choicesField, commonFields, tokenCount } from './fields.ts';
import { completionLogprobs } from './logprobs.ts';

/** OpenAI's default. */
const DEFAULT_MAX_TOKENS = 16;
const MAX_PROMPTS = 64;
const MAX_LOGPROBS = 20;

const tokenIds = z.array(z.int().min(0)).min(1);
const promptField = z.union([
  z.string(),
  tokenIds,
  z.array(z.string()).min(1).max(MAX_PROMPTS),
  z.array(tokenIds).min(1).max(MAX_PROMPTS),
]);

export const completionRequest = ({ maxChoices }: Pick<Limits, 'maxChoices'>) =>
  z.object({
    ...commonFields,
    prompt: promptField,
    max_tokens: tokenCount,
    n: choicesField(maxChoices),
    logprobs: z.int().min(0).max(MAX_LOGPROBS).nullish(),
    echo: z.boolean().nullish(),
    suffix: z.string().nullish(),
  });

export type CompletionRequest = z.output<ReturnType<typeof completionRequest>>;

export interface CompletionJob extends JobOptions {
  prompts: (string | number[])[];
  echo: boolean;
}

/** Throws 400 for a suffix. */
export function completionJob(request: CompletionRequest): CompletionJob {
  if (request.suffix != null && request.suffix !== '') {
    throw invalidRequest('Filling in before a suffix is not offered.', 'suffix', 'unsupported_parameter');
  }
  return {
    model: request.model ?? undefined,
    prompts: promptList(request.prompt),
    echo: request.echo ?? false,
    sampling: request,
    attention: request,
    maxTokens: request.max_tokens ?? DEFAULT_MAX_TOKENS,
    stop: request.stop,
    choices: request.n,
    topTokens: request.logprobs ?? undefined,
  };
}

function promptList(prompt: CompletionRequest['prompt']): (string | number[])[] {
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as (string | number[])[]);
}

/** Throws 400 for ids that are no tokens, and as `encode` does. */
function encodePrompts({ prompts }: CompletionJob, { model }: LoadedModel): Int32Array[] {
  const { vocabularySize } = model.tokenizer;
  return prompts.map((prompt) => {
    // Prompts are written for the model, its control tokens included.
    if (typeof prompt === 'string') return model.encode(prompt, { special: true });
    const wrong = prompt.find((id) => id >= vocabularySize);
    if (wrong === undefined) return Int32Array.from(prompt);
    throw invalidRequest(`There is no token ${wrong}: the vocabulary has ${vocabularySize}.`, 'prompt');
  });
}

interface Choice {
  text: string;
  probabilities: TokenProbabilities[];
  finish: 'stop' | 'length';
  result?: GenerationResult;
}

const identify = () => ({
  id: `cmpl-${randomUUID()}`,
  object: 'text_completion',
  created: Math.floor(Date.now() / 1000),
});

/** The whole answer. */
export async function completion(service: Service, job: CompletionJob, signal: AbortSignal) {
  const identity = identify();
  const choices: Choice[] = [];
  let loaded: LoadedModel | undefined;
  let encoded: Int32Array[] = [];
  const prepare = (model: LoadedModel) => {
    encoded = encodePrompts(job, model);
    return { prompts: encoded };
  };
  for await (const event of runJob(service, job, prepare, signal)) {
    if (event.type === 'prepared') loaded = event.loaded;
    if (!('choice' in event)) continue;
    choices[event.choice] ??= { text: '', probabilities: [], finish: 'stop' };
    const choice = choices[event.choice] as Choice;
    if (event.type === 'token') {
      choice.text += event.text;
      if (event.probabilities !== undefined) choice.probabilities.push(event.probabilities);
    } else {
      choice.finish = finishReason(event.result);
      choice.result = event.result;
    }
  }
  const { id: model, model: served } = loaded as LoadedModel;
  const usage = usageOf(
    choices.flatMap(({ result }) => result ?? []),
    job.choices,
  );
  const echo = (index: number) => echoed(job, encoded, index, served);
  return {
    ...identity,
    model,
    system_fingerprint: null,
    choices: choices.map(({ text, probabilities, finish }, index) => ({
      index,
      text: echo(index) + text,
      logprobs:
        job.topTokens === undefined ? null : completionLogprobs(probabilities, served.tokenizer, echo(index).length),
      finish_reason: finish,
    })),
    usage: openAiUsage(usage),
    timings: timings(usage),
  };
}

/** The prompt of a choice, where it is to come back with the answer. */
function echoed(
  job: CompletionJob,
  encoded: readonly Int32Array[],
  choice: number,
  model: LoadedModel['model'],
): string {
  if (!job.echo) return '';
  const index = Math.floor(choice / job.choices);
  const prompt = job.prompts[index];
  return typeof prompt === 'string' ? prompt : model.tokenizer.decode(encoded[index] as Int32Array);
}

/** The answer as chunks, usage last where it is asked for. */
export async function* completionChunks(
  service: Service,
  job: CompletionJob,
  { includeUsage, includeProgress }: ChunkOptions,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent, void> {
  const identity = identify();
  const results: GenerationResult[] = [];
  const lengths = new Map<number, number>();
  let loaded: LoadedModel | undefined;
  let encoded: Int32Array[] = [];
  const frame = (choices: unknown[], more: object = {}): ServerEvent => ({
    data: JSON.stringify({
      ...identity,
      model: loaded?.id,
      system_fingerprint: null,
      choices,
      ...(includeUsage && { usage: null }),
      ...more,
    }),
  });
  const prepare = (model: LoadedModel) => {
    encoded = encodePrompts(job, model);
    return { prompts: encoded };
  };
  for await (const event of runJob(service, job, prepare, signal)) {
    if (event.type === 'prepared') loaded = event.loaded;
    else if (event.type === 'prefill') {
      if (includeProgress) yield frame([], { prompt_progress: promptProgress(event) });
    } else {
      const { model } = loaded as LoadedModel;
      const { choice: index } = event;
      const length = lengths.get(index) ?? 0;
      const start = lengths.has(index) ? '' : echoed(job, encoded, index, model);
      if (event.type === 'token') {
        const text = start + event.text;
        lengths.set(index, length + text.length);
        const { probabilities } = event;
        const logprobs =
          probabilities === undefined
            ? null
            : completionLogprobs([probabilities], model.tokenizer, length + start.length);
        if (text !== '' || logprobs !== null) yield frame([{ index, text, logprobs, finish_reason: null }]);
      } else {
        results.push(event.result);
        const choice = { index, text: start, logprobs: null, finish_reason: finishReason(event.result) };
        const isLast = results.length === job.choices * job.prompts.length;
        yield frame([choice], isLast ? { timings: timings(usageOf(results, job.choices)) } : {});
      }
    }
  }
  if (includeUsage) {
    const usage = usageOf(results, job.choices);
    yield frame([], { usage: openAiUsage(usage), timings: timings(usage) });
  }
  yield { data: '[DONE]' };
}
