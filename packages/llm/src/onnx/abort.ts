/** How this package's long work stops. */
import { llmError } from '../errors.ts';

/** Throws `aborted`, with the signal's reason as its cause, where the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw llmError({
    code: 'aborted',
    problem: 'The work was aborted by its signal.',
    remedy: 'Start it again: what was finished before is kept.',
    cause: signal.reason,
  });
}
