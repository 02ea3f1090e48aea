/** What a request cost: tokens, times, and how exact its answers were. */
import type { GenerationResult } from '@keysieve/llm';
import { type ExactnessOfAnswer, exactnessOf } from './attention.ts';

export interface Usage {
  promptTokens: number;
  /** Tokens of the prompts that were in a cache. */
  cachedTokens: number;
  completionTokens: number;
  /** Usage of the first answer. */
  exactness: ExactnessOfAnswer;
  prefillMs: number;
  decodeMs: number;
}

/** Sums the answers of a request, `choices` to each prompt: a prompt counts once. */
export function usageOf(results: readonly GenerationResult[], choices: number): Usage {
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  const perPrompt = results.filter((_, index) => index % choices === 0);
  const first = results[0] as GenerationResult;
  return {
    promptTokens: sum(perPrompt.map((result) => result.promptTokens)),
    cachedTokens: sum(perPrompt.map((result) => result.reusedTokens)),
    completionTokens: sum(results.map((result) => result.tokens.length)),
    exactness: exactnessOf(first),
    prefillMs: sum(perPrompt.map((result) => result.prefillMs)),
    decodeMs: sum(results.map((result) => sum(result.decodeMs))),
  };
}

/** `usage` of OpenAI's API, with the exactness of the first answer as `keysieve`. */
export function openAiUsage({ promptTokens, cachedTokens, completionTokens, exactness }: Usage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    completion_tokens_details: { reasoning_tokens: 0 },
    keysieve: exactness,
  };
}

/** `timings` of llama.cpp's server. */
export function timings({ promptTokens, cachedTokens, completionTokens, prefillMs, decodeMs }: Usage) {
  const read = promptTokens - cachedTokens;
  const rate = (count: number, ms: number) => (ms > 0 ? (count / ms) * 1000 : 0);
  const each = (count: number, ms: number) => (count > 0 ? ms / count : 0);
  return {
    cache_n: cachedTokens,
    prompt_n: read,
    prompt_ms: prefillMs,
    prompt_per_token_ms: each(read, prefillMs),
    prompt_per_second: rate(read, prefillMs),
    predicted_n: completionTokens,
    predicted_ms: decodeMs,
    predicted_per_token_ms: each(completionTokens, decodeMs),
    predicted_per_second: rate(completionTokens, decodeMs),
  };
}
