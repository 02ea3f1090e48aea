/**
 * The failures of a GGUF file that several modules of this folder report, so that each is worded in one place.
 */
import type { LlmError } from '../errors.ts';
import { llmError } from '../errors.ts';

const anotherCopy = 'Fetch or convert the file again: this copy is damaged or was not written by the GGUF format.';

/** A name out of a file as it may be shown: quoted, control characters escaped, cut at 80 characters. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

/** The file says something that the format does not allow. */
export function invalid(problem: string, found: string | number | bigint): LlmError {
  return llmError({ code: 'gguf-invalid', problem, found, remedy: anotherCopy });
}

/** The file ends before what its header promises. */
export function truncated(problem: string, found: string): LlmError {
  return llmError({
    code: 'gguf-truncated',
    problem,
    found,
    remedy: 'The download or copy was cut short: fetch the file again.',
  });
}
