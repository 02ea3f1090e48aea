/**
 * The options of sampling, their defaults, and what they may be.
 */
import { llmError } from '../errors.ts';

/** Defaults are those of node-llama-cpp: without a temperature the best token is taken. */
export interface SamplingOptions {
  /** Divides the logits before the draw; 0 takes the best token always. Default: 0. */
  temperature?: number | undefined;
  /** Only the k best tokens are drawn from; 0 turns this off. Default: 40. */
  topK?: number | undefined;
  /** Only the fewest best tokens whose probabilities add up to this are drawn from; 1 turns this off. Default: 0.95. */
  topP?: number | undefined;
  /** Only tokens at least this share as probable as the best one are drawn from; 0 turns this off. Default: 0. */
  minP?: number | undefined;
  /** Makes tokens that came before less likely where it is above 1. Default: 1 (off). */
  repetitionPenalty?: number | undefined;
  /** How many of the last tokens `repetitionPenalty` looks at; Infinity for all. Default: 64. */
  repetitionWindow?: number | undefined;
  /** Two samplers with one seed draw alike: a whole number from 0 to 2^32 - 1. Default: a random one. */
  seed?: number | undefined;
}

export type SamplingSettings = { readonly [Name in keyof SamplingOptions]-?: number };

/** Options with their defaults; throws `invalid-argument` for one that is out of range. */
export function resolveSamplingOptions(options: SamplingOptions): SamplingSettings {
  const settings = {
    temperature: options.temperature ?? 0,
    topK: options.topK === undefined ? 40 : options.topK,
    topP: options.topP ?? 0.95,
    minP: options.minP ?? 0,
    repetitionPenalty: options.repetitionPenalty ?? 1,
    repetitionWindow: options.repetitionWindow ?? 64,
    seed: options.seed ?? (crypto.getRandomValues(new Uint32Array(1))[0] as number),
  };
  const { temperature, topK, topP, minP, repetitionPenalty, repetitionWindow, seed } = settings;
  check('temperature', temperature, Number.isFinite(temperature) && temperature >= 0, 'a number from 0 on');
  check('topK', topK, Number.isInteger(topK) && topK >= 0, 'a whole number from 0 (off) on');
  check('topP', topP, topP > 0 && topP <= 1, 'a number in (0, 1]; 1 is off');
  check('minP', minP, minP >= 0 && minP <= 1, 'a number from 0 (off) to 1');
  check(
    'repetitionPenalty',
    repetitionPenalty,
    Number.isFinite(repetitionPenalty) && repetitionPenalty > 0,
    'a number above 0 (1 is off)',
  );
  const isWindow = repetitionWindow === Number.POSITIVE_INFINITY || Number.isInteger(repetitionWindow);
  check(
    'repetitionWindow',
    repetitionWindow,
    isWindow && repetitionWindow >= 0,
    'a whole number from 0 on, or Infinity',
  );
  check('seed', seed, Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, 'a whole number from 0 to 2^32 - 1');
  return settings;
}

function check(name: string, value: unknown, isValid: boolean, range: string): void {
  if (isValid && typeof value === 'number') return;
  throw llmError({
    code: 'invalid-argument',
    problem: `The sampling option ${name} is out of range.`,
    found: String(value),
    remedy: `Give ${range}.`,
  });
}
