/** What a pass through a model refuses before and after it computes. */
import { llmError } from '../errors.ts';

export function checkPositiveInteger(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw llmError({
    code: 'invalid-argument',
    problem: `${name} must be a positive whole number.`,
    found: value,
    remedy: 'Leave it out for the default.',
  });
}

/** Throws `invalid-argument` or `prompt-too-long`. */
export function checkTokens(
  tokens: Int32Array,
  startPosition: number,
  { vocabularySize, context }: { vocabularySize: number; context: number },
): void {
  if (tokens.length === 0) {
    throw llmError({ code: 'invalid-argument', problem: 'There are no tokens to run.', remedy: 'Give at least one.' });
  }
  if (!Number.isSafeInteger(startPosition) || startPosition < 0) {
    throw llmError({
      code: 'invalid-argument',
      problem: 'The position of the first token must be a whole number.',
      found: startPosition,
      remedy: 'Give the number of tokens before it.',
    });
  }
  const invalidToken = tokens.find((token) => token < 0 || token >= vocabularySize);
  if (invalidToken !== undefined) {
    throw llmError({
      code: 'invalid-argument',
      problem: 'The model has no token of this number.',
      found: invalidToken,
      remedy: `Give numbers from 0 to ${vocabularySize - 1}, as the model's own tokenizer does.`,
    });
  }
  const end = startPosition + tokens.length;
  if (end > context) {
    throw llmError({
      code: 'prompt-too-long',
      problem: `The model was loaded for a context of ${context} tokens.`,
      found: `${end} tokens`,
      remedy: 'Shorten the prompt, or load the model for a longer context: RoPE is then stretched.',
    });
  }
}

/** Throws `not-a-number` where a logit is NaN or infinite. */
export function requireFiniteLogits(logits: Float32Array): void {
  // Searches of the engine's own: a loop of ours over a vocabulary costs the first tokens milliseconds.
  const nonFinite = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].find((x) => logits.includes(x));
  if (nonFinite === undefined) return;
  throw llmError({
    code: 'not-a-number',
    problem: 'The model gave a logit that is not a finite number.',
    found: nonFinite,
    remedy: 'The weights, or the outputs of the attention, are out of the range of float32: try another file.',
  });
}
