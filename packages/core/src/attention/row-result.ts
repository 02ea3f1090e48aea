/** What one query row read, and how exact it is: tasks of a job write it as numbers, and the job's owner reads it. */
import { CERTIFICATE_KINDS, type Certificate, type CertificateKind } from '../certificates/certificate.ts';
import { floatAbove } from '../kernels/rounding.ts';

/** The keys that the policy selected, more of them for the sake of a certificate, or all keys. */
export const ROW_OUTCOMES = ['asSelected', 'certificateFallback', 'full'] as const;
export type RowOutcome = (typeof ROW_OUTCOMES)[number];

/** What one query row read, and how exact its output is. */
export interface RowResult extends Certificate {
  /** Keys read exactly. */
  keysExact: number;
  /** Keys read quantized. */
  keysQuantized: number;
  /** Bytes read; those of rows that read together stand with the first of them. */
  bytesRead: number;
  outcome: RowOutcome;
}

/** Numbers of a row's result. */
export const ROW_RESULT_NUMBERS = 7;

/** Writes the result of row number `row` into those of a job: (rows, ROW_RESULT_NUMBERS). */
export function writeRowResult(results: Float32Array, row: number, result: RowResult): void {
  // By index: a prompt has hundreds of thousands of rows.
  const at = row * ROW_RESULT_NUMBERS;
  results[at] = result.keysExact;
  results[at + 1] = result.keysQuantized;
  results[at + 2] = result.bytesRead;
  // Results travel as float32, and a bound may only grow on the way.
  results[at + 3] = floatAbove(result.tailMass);
  results[at + 4] = floatAbove(result.outputError);
  results[at + 5] = CERTIFICATE_KINDS.indexOf(result.kind);
  results[at + 6] = ROW_OUTCOMES.indexOf(result.outcome);
}

/** The result of row number `row`, from the results of a job. */
export function readRowResult(results: Float32Array, row: number): RowResult {
  // By index: there are thousands of rows in a chunk of a prompt, and a view of each would be garbage.
  const at = row * ROW_RESULT_NUMBERS;
  return {
    keysExact: results[at] as number,
    keysQuantized: results[at + 1] as number,
    bytesRead: results[at + 2] as number,
    tailMass: results[at + 3] as number,
    outputError: results[at + 4] as number,
    kind: CERTIFICATE_KINDS[results[at + 5] as number] as CertificateKind,
    outcome: ROW_OUTCOMES[results[at + 6] as number] as RowOutcome,
  };
}
