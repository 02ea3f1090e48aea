/**
 * From a request to the events of its answers: the model is loaded, the prompt encoded and checked, a turn awaited, a
 * session found, and what it generates told apart into text and calls of tools. What is common to all APIs is here;
 * each of them translates its requests into jobs and these events into its frames.
 */
import {
  combineConstraints,
  type GenerateOptions,
  type GenerationResult,
  type TokenConstraint,
  type TokenProbabilities,
} from '@keysieve/llm';
import { answer } from '../engine/answer.ts';
import type { LoadedModel, Models } from '../engine/models.ts';
import type { Queue } from '../engine/queue.ts';
import { contextExceeded } from '../http/api-error.ts';
import type { Metrics } from '../metrics.ts';
import type { Settings } from '../options.ts';
import { type AttentionFields, sessionSettings } from './attention.ts';
import { biasConstraint, type SamplingFields, samplingOptions } from './sampling.ts';

/** What jobs run on. */
export interface Service {
  settings: Settings;
  models: Models;
  queue: Queue;
  metrics: Metrics;
  /** Called with each prompt once it is encoded, before it is read. */
  onPrompt(prompt: Int32Array): void;
}

/** What every request asks for, whatever its prompt. */
export interface JobOptions {
  /** Name of the model; undefined for the first. */
  model: string | undefined;
  sampling: SamplingFields;
  attention: AttentionFields;
  /** Undefined: up to the end of the context. */
  maxTokens: number | undefined;
  stop: readonly string[];
  /** Answers to each prompt. */
  choices: number;
  /** Number of the likeliest tokens whose log-probabilities are wanted with each token. */
  topTokens: number | undefined;
}

/** Prompts as tokens, and what their answers must obey. */
export interface PreparedPrompts {
  prompts: Int32Array[];
  /** A constraint for the next answer. */
  constraint?(): TokenConstraint;
  /** Called when all answers have ended. */
  dispose?(): void;
}

export type JobEvent =
  /** The model is known, and the prompts are encoded: the request will be answered once it is its turn. */
  | { type: 'prepared'; loaded: LoadedModel; promptTokens: number }
  | { type: 'prefill'; total: number; cached: number; processed: number; milliseconds: number }
  | { type: 'token'; choice: number; text: string; token: number; probabilities?: TokenProbabilities }
  | { type: 'end'; choice: number; result: GenerationResult };

/**
 * Runs a job; `prepare` gives its prompts for the model. Choices count over all prompts. Throws ApiErrors and what
 * encoding and generating throw; when `signal` fires, the work stops within one chunk.
 */
export async function* runJob(
  service: Service,
  options: JobOptions,
  prepare: (loaded: LoadedModel) => PreparedPrompts | Promise<PreparedPrompts>,
  signal: AbortSignal,
): AsyncGenerator<JobEvent, void> {
  const { settings, models, queue, metrics } = service;
  const session = sessionSettings(options.attention, settings);
  const arrived = performance.now();
  const { loaded, release } = await models.acquire(options.model, signal);
  let prepared: PreparedPrompts | undefined;
  try {
    prepared = await prepare(loaded);
    const { prompts, constraint } = prepared;
    const promptTokens = prompts.reduce((sum, prompt) => sum + prompt.length, 0);
    for (const prompt of prompts) {
      service.onPrompt(prompt);
      checkContext(prompt, loaded);
    }
    yield { type: 'prepared', loaded, promptTokens };
    const endTurn = await queue.enter(signal);
    metrics.waited((performance.now() - arrived) / 1000);
    try {
      for (const [index, prompt] of prompts.entries()) {
        const first = index * options.choices;
        const generate = (choice: number) => generateOptions(options, loaded, first + choice, constraint);
        const events = answer({ loaded, prompt, settings: session, generate, choices: options.choices, signal });
        for await (const event of metrics.observe(events, arrived)) {
          yield event.type === 'prefill' ? event : { ...event, choice: first + event.choice };
        }
      }
    } finally {
      endTurn();
    }
  } finally {
    prepared?.dispose?.();
    release();
  }
}

function checkContext(prompt: Int32Array, { model }: LoadedModel): void {
  if (prompt.length > model.contextLength) throw contextExceeded(prompt.length, model.contextLength);
}

function generateOptions(
  { sampling, maxTokens, stop, topTokens, attention }: JobOptions,
  { model }: LoadedModel,
  choice: number,
  constraint: PreparedPrompts['constraint'],
): GenerateOptions {
  const combined = combineConstraints(constraint?.(), biasConstraint(sampling));
  return {
    ...samplingOptions(sampling, choice),
    maxTokens: maxTokens ?? model.contextLength,
    stop,
    ...(attention.audit != null && { audit: attention.audit }),
    ...(combined !== undefined && { constraint: combined }),
    ...(topTokens !== undefined && { logProbabilities: topTokens }),
  };
}
