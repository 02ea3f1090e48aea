/** What is asked of every error: a code, what was found, and the way out. */
import { expect } from 'vitest';
import { KeysieveError } from '../src/errors.ts';

/** Throws unless `action` throws a KeysieveError with this code and a remedy. Gives the error. */
export function expectError(code: string, action: () => unknown): KeysieveError {
  try {
    action();
  } catch (error) {
    return checkError(code, error);
  }
  throw new Error(`nothing was thrown, where ${code} was expected`);
}

/** Expects a promise to reject with a KeysieveError of this code. */
export async function expectRejection(code: string, promise: Promise<unknown>): Promise<KeysieveError> {
  const outcome = await promise.then(
    () => new Error(`nothing was thrown, where ${code} was expected`),
    (error: unknown) => error,
  );
  return checkError(code, outcome);
}

function checkError(code: string, error: unknown): KeysieveError {
  if (!(error instanceof KeysieveError)) throw error;
  expect(error).toMatchObject({ name: 'KeysieveError', code });
  expect(error.remedy).not.toBe('');
  expect(error.message).toContain(error.remedy);
  return error;
}
