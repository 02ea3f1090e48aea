/**
 * Draws the next token from logits. The order is that of llama.cpp's default chain (common/common.h,
 * `common_params_sampling`): repetition penalty, top-k, top-p, min-p, temperature, draw. (transformers divides by the
 * temperature before it cuts.)
 */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { mersenne } from 'pure-rand/generator/mersenne';
import { llmError } from '../errors.ts';
import type { TokenConstraint } from './constraints.ts';
import type { SamplingOptions } from './options.ts';
import { resolveSamplingOptions } from './options.ts';
import { allowedTokens } from './truncation.ts';

/** Draws tokens from logits, with a seed. */
export interface Sampler {
  /**
   * The next token. `logits` (vocabulary) are left as they are; `history` holds the tokens so far, prompt and answer,
   * for the repetition penalty; `constraint` masks tokens before anything else and is told of the one chosen. Throws
   * `not-a-number` for logits that hold NaN or +Infinity or are all -Infinity, and `invalid-argument` for no logits or
   * a token of the history that has none, and `grammar-invalid` where the constraint masks all; then nothing has been
   * drawn.
   */
  next(logits: Float32Array, history: ArrayLike<number>, constraint?: TokenConstraint): number;
  /** Seed of the draws, also where it was chosen at random. */
  readonly seed: number;
}

/** Throws `invalid-argument` for an option that is out of range. */
export function createSampler(options: SamplingOptions = {}): Sampler {
  const settings = resolveSamplingOptions(options);
  const random = mersenne(settings.seed);
  let scratch = new Float32Array(0);

  function next(logits: Float32Array, history: ArrayLike<number>, constraint?: TokenConstraint): number {
    if (scratch.length !== logits.length) scratch = new Float32Array(logits.length);
    scratch.set(logits);
    if (constraint !== undefined) {
      constraint.mask(scratch);
      requireAllowed(scratch, logits);
    }
    const token = choose(history);
    constraint?.accept(token);
    return token;
  }

  function choose(history: ArrayLike<number>): number {
    applyRepetitionPenalty(scratch, history, settings.repetitionPenalty, settings.repetitionWindow);
    const best = argmax(scratch);
    if (settings.temperature === 0) return best;
    const bestLogit = scratch[best] as number;
    const ids = allowedTokens(scratch, bestLogit, settings);
    return draw(scratch, ids, bestLogit, settings.temperature, uniformFloat64(random));
  }

  return { next, seed: settings.seed };
}

/** Throws `grammar-invalid` where there were tokens to choose from, and all of them are masked. */
function requireAllowed(masked: Float32Array, logits: Float32Array): void {
  const isImpossible = (logit: number) => logit === Number.NEGATIVE_INFINITY;
  if (!masked.every(isImpossible) || logits.every(isImpossible)) return;
  throw llmError({
    code: 'grammar-invalid',
    problem: 'What the answer is held to allows no token here.',
    remedy: 'Give a schema, an expression or a constraint that some text of the vocabulary can satisfy to its end.',
  });
}

/** Numbers in [0, 1) by a seed, apart from the draws of a sampler with the same. */
export function createDraws(seed: number): () => number {
  const random = mersenne(~seed >>> 0);
  return () => uniformFloat64(random);
}

/**
 * Divides positive and multiplies negative logits of the last tokens by the penalty, once for each token however
 * often it came (arXiv 1909.05858, section 4.1, as llama.cpp and transformers have it).
 */
export function applyRepetitionPenalty(
  logits: Float32Array,
  history: ArrayLike<number>,
  penalty: number,
  window: number,
): void {
  if (penalty === 1) return;
  const recent = new Set<number>();
  for (let i = Math.max(0, history.length - window); i < history.length; i++) recent.add(history[i] as number);
  for (const id of recent) {
    const logit = logits[id];
    if (logit === undefined) {
      throw llmError({
        code: 'invalid-argument',
        problem: 'A token of the history has no logit.',
        found: id,
        remedy: `Give tokens from 0 to ${logits.length - 1}.`,
      });
    }
    logits[id] = logit > 0 ? logit / penalty : logit * penalty;
  }
}

/** The token with the largest logit, of equal ones the first. */
export function argmax(logits: Float32Array): number {
  let best = -1;
  let bestLogit = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number;
    if (logit > bestLogit) {
      best = id;
      bestLogit = logit;
    } else if (Number.isNaN(logit)) throw notANumber(`NaN for token ${id}`);
  }
  if (bestLogit === Number.POSITIVE_INFINITY) throw notANumber(`Infinity for token ${best}`);
  if (best >= 0) return best;
  if (logits.length > 0) throw notANumber('-Infinity for every token');
  throw llmError({
    code: 'invalid-argument',
    problem: 'There are no logits to sample from.',
    remedy: 'Give one for each token of the vocabulary.',
  });
}

/** The token at which the running sum of exp((logit - best) / temperature) passes the share `random` of the whole. */
function draw(
  logits: Float32Array,
  ids: Int32Array | undefined,
  maxLogit: number,
  temperature: number,
  random: number,
): number {
  const count = ids?.length ?? logits.length;
  const idAt = (i: number) => (ids === undefined ? i : (ids[i] as number));
  const weightAt = (i: number) => Math.exp(((logits[idAt(i)] as number) - maxLogit) / temperature);
  let total = 0;
  for (let i = 0; i < count; i++) total += weightAt(i);
  let remaining = random * total;
  let last = 0;
  for (let i = 0; i < count; i++) {
    const weight = weightAt(i);
    if (weight === 0) continue;
    last = i;
    remaining -= weight;
    if (remaining < 0) break;
  }
  return idAt(last);
}

function notANumber(found: string) {
  return llmError({
    code: 'not-a-number',
    problem: 'The logits cannot be sampled from.',
    found,
    remedy: 'The model or its cache is damaged: check the file, or run with dense attention and --precision fp32.',
  });
}
