/** How the command ends: its exit codes, and what it prints of an error. */
import { inspect } from 'node:util';
import { KeysieveError, printable, printableLines } from '@keysieve/llm';

/** Beside failure and a wrong call, the codes of shells: 128 and the number of the signal. */
export const EXIT = {
  success: 0,
  failure: 1,
  wrongCall: 2,
  hungUp: 129,
  interrupted: 130,
  brokenPipe: 141,
  terminated: 143,
} as const;

const MAX_MESSAGE = 2000;

/** Prints an error on stderr, and returns the exit code. */
export function reportError(error: unknown): number {
  // Errors of this project with the code aborted, and those of signals themselves.
  if (error instanceof Error && error.name === 'AbortError') {
    process.stderr.write('keysieve: Interrupted. [aborted]\n');
    return EXIT.interrupted;
  }
  if (error instanceof KeysieveError) {
    process.stderr.write(`keysieve: ${printable(error.message, { maxLength: MAX_MESSAGE })} [${error.code}]\n`);
    return error.code === 'invalid-argument' ? EXIT.wrongCall : EXIT.failure;
  }
  process.stderr.write(`keysieve: an unexpected error; please report it.\n${printableLines(inspect(error))}\n`);
  return EXIT.failure;
}
