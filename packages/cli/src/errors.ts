/** How the command ends: its exit codes, and what it prints of an error. */
import { KeysieveError } from '@keysieve/llm';

export const EXIT = { success: 0, failure: 1, wrongCall: 2 } as const;

/** Prints an error on stderr, and returns the exit code. */
export function reportError(error: unknown): number {
  if (error instanceof KeysieveError) {
    console.error(`keysieve: ${error.message} [${error.code}]`);
    return error.code === 'invalid-argument' ? EXIT.wrongCall : EXIT.failure;
  }
  if (error instanceof Error && error.name === 'AbortError') {
    console.error('keysieve: Stopped before it was done. [aborted]');
    return EXIT.failure;
  }
  console.error('keysieve: an unexpected error; please report it.');
  console.error(error);
  return EXIT.failure;
}
