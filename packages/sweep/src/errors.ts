/** The errors of this package; the class itself is {@link KeysieveError} of `keysieve`. */
import type { LabErrorCode } from '@keysieve/lab';
import { type ErrorDetails, KeysieveError } from 'keysieve';

/** Codes that this package throws, those of the packages underneath among them. */
export type SweepErrorCode =
  | LabErrorCode
  // plans
  | 'plan-invalid'
  // queues
  | 'queue-unsupported'
  | 'queue-unreachable'
  | 'sweep-not-found'
  | 'address-unavailable'
  // cells
  | 'input-missing'
  | 'cell-foreign'
  | 'cell-process-ended';

/** An error of this package. */
export type SweepError = KeysieveError<SweepErrorCode>;

/** Makes an error of this package: `throw sweepError({ code, problem, found, remedy })`. */
export function sweepError(details: ErrorDetails<SweepErrorCode>): SweepError {
  return new KeysieveError(details);
}
