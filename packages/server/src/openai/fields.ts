/** Fields that the requests of OpenAI's APIs have in common. */
import { z } from 'zod';
import { attentionFields } from '../chat/attention.ts';
import { samplingFields } from '../chat/sampling.ts';

const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1024;

const stopString = z.string().max(MAX_STOP_LENGTH);
export const stopField = z
  .union([stopString, z.array(stopString).max(MAX_STOPS)])
  .nullish()
  .transform((stop) => (typeof stop === 'string' ? [stop] : (stop ?? [])));

export const tokenCount = z.int().min(0).nullish();

export const commonFields = {
  ...samplingFields,
  ...attentionFields,
  model: z.string().max(256).nullish(),
  stop: stopField,
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  /** llama.cpp's: frames that say how far the reading of the prompt is. */
  return_progress: z.boolean().nullish(),
};

/** Number of answers: at most what the server allows. */
export const choicesField = (maxChoices: number) =>
  z
    .int()
    .min(1)
    .max(maxChoices)
    .nullish()
    .transform((n) => n ?? 1);
