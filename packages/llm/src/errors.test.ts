import { KeysieveError } from 'keysieve';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { isLlmError, LLM_ERROR_CODES, type LlmErrorCode, llmError } from './errors.ts';
import { loadModel } from './session/index.ts';

describe('isLlmError', () => {
  it('tells errors of this package, and those of the attention, from others', async () => {
    const missing: unknown = await loadModel('/there/is/none.gguf').catch((error: unknown) => error);
    if (!isLlmError(missing)) return expect.fail('it is one');
    expectTypeOf(missing.code).toEqualTypeOf<LlmErrorCode>();
    if (missing.code === 'model-not-found') expectTypeOf(missing).toEqualTypeOf<KeysieveError<'model-not-found'>>();
    expect(missing.code).toBe('model-not-found');
    expect(isLlmError(new KeysieveError({ code: 'disposed', problem: 'Gone.', remedy: 'Come back.' }))).toBe(true);
    expect(isLlmError(new KeysieveError({ code: 'of-another', problem: 'Gone.', remedy: 'Come back.' }))).toBe(false);
    expect(isLlmError(new Error('another'))).toBe(false);
  });

  it('knows each code once', () => {
    expect(new Set(LLM_ERROR_CODES).size).toBe(LLM_ERROR_CODES.length);
    expect(isLlmError(llmError({ code: 'prompt-empty', problem: 'No.', remedy: 'Yes.' }))).toBe(true);
  });
});
