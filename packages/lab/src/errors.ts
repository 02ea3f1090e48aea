/** The errors of this package; the class itself is {@link KeysieveError} of `keysieve`. */
import type { LlmErrorCode } from '@keysieve/llm';
import { type ErrorDetails, type ErrorOf, KeysieveError } from 'keysieve';

/** Codes that this package throws, those of the packages underneath among them. */
export type LabErrorCode =
  | LlmErrorCode
  // files that were given
  | 'file-not-found'
  | 'invalid-file'
  | 'results-version'
  | 'file-busy'
  | 'results-foreign'
  | 'results-conflict'
  | 'results-incomplete';

/** An error of this package. A `switch` over its code narrows it. */
export type LabError = ErrorOf<LabErrorCode>;

/** Makes an error of this package: `throw labError({ code, problem, found, remedy })`. */
export function labError(details: ErrorDetails<LabErrorCode>): LabError {
  return new KeysieveError(details) as LabError;
}
