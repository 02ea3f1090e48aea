/** Fields of requests that say how tokens are drawn, and what the sampler makes of them. */
import type { GenerateOptions, TokenConstraint } from '@keysieve/llm';
import { z } from 'zod';

const penalty = z.number().min(-2).max(2).nullish();

/** OpenAI's fields, and those that llama.cpp's server and vLLM have added. */
export const samplingFields = {
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).max(1_000_000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repeat_penalty: z.number().gt(0).max(100).nullish(),
  repetition_penalty: z.number().gt(0).max(100).nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  logit_bias: z.record(z.string().regex(/^\d+$/), z.number().min(-100).max(100)).nullish(),
  seed: z.int().nullish(),
};

export type SamplingFields = z.output<z.ZodObject<typeof samplingFields>>;

/** Defaults of llama.cpp's server, which clients that give no temperature were tried with. */
const DEFAULT_TEMPERATURE = 0.8;
const DEFAULT_MIN_P = 0.05;

/** The sampler's options for one of the answers; each draws with a seed of its own. */
export function samplingOptions(fields: SamplingFields, choice: number): GenerateOptions {
  const { temperature, top_p, top_k, min_p, seed } = fields;
  const repetitionPenalty = fields.repeat_penalty ?? fields.repetition_penalty;
  return {
    temperature: temperature ?? DEFAULT_TEMPERATURE,
    minP: min_p ?? DEFAULT_MIN_P,
    ...(top_p != null && { topP: top_p }),
    ...(top_k != null && { topK: top_k }),
    ...(repetitionPenalty != null && { repetitionPenalty }),
    // Clients send seeds of any sign and size.
    ...(seed != null && { seed: (((seed + choice) % 2 ** 32) + 2 ** 32) % 2 ** 32 }),
  };
}

/** `logit_bias` and OpenAI's penalties as a constraint of one answer; undefined where the request has none. */
export function biasConstraint(fields: SamplingFields): TokenConstraint | undefined {
  const { frequency_penalty, presence_penalty, logit_bias } = fields;
  const frequency = frequency_penalty ?? 0;
  const presence = presence_penalty ?? 0;
  const bias = Object.entries(logit_bias ?? {}).map(([token, value]) => [Number(token), value] as const);
  if (frequency === 0 && presence === 0 && bias.length === 0) return undefined;
  const counts = new Map<number, number>();
  return {
    mask(logits) {
      const add = (token: number, value: number) => {
        if (token < logits.length) logits[token] = (logits[token] as number) + value;
      };
      for (const [token, value] of bias) add(token, value);
      for (const [token, count] of counts) add(token, -presence - count * frequency);
    },
    accept(token) {
      counts.set(token, (counts.get(token) ?? 0) + 1);
    },
  };
}
