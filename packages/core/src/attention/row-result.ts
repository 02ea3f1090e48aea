/** What is noted of one query row, as the tasks of a job write it and the job's owner reads it. */
import { CERTIFICATE_KINDS, type Certificate, type CertificateKind } from '../certificates/certificate.ts';
import { floatAbove } from '../kernels/rounding.ts';
import type { Views } from '../kernels/views.ts';
import type { Job } from './job.ts';

/** As the policy chose; with more keys, for the sake of a certificate; with all keys. */
export const ROW_OUTCOMES = ['asSelected', 'certificateFallback', 'full'] as const;
export type RowOutcome = (typeof ROW_OUTCOMES)[number];

/** What one row read, and how exact its output is. */
export interface RowResult extends Certificate {
  /** Keys read exactly. */
  keysExact: number;
  /** Keys read by their codes. */
  keysQuantized: number;
  /** Bytes of all rows that read together, with the first of them. */
  bytesRead: number;
  outcome: RowOutcome;
  /**
   * Of a row that read on for the sake of a certificate: keys that any choice would need at least. 0: it did not read on.
   */
  keysNeeded: number;
}

/** Numbers of a row's result. */
export const ROW_RESULT_NUMBERS = 8;

/** Notes the result of row number `row` of the job: (count * heads, ROW_RESULTS) at its `results`. */
export function writeRowResult(
  { f32 }: Views,
  { results }: Pick<Job, 'results'>,
  row: number,
  result: RowResult,
): void {
  // By index: a prompt notes hundreds of thousands of rows.
  const at = results / 4 + row * ROW_RESULT_NUMBERS;
  f32[at] = result.keysExact;
  f32[at + 1] = result.keysQuantized;
  f32[at + 2] = result.bytesRead;
  // Results travel as float32, and a bound may only grow on the way.
  f32[at + 3] = floatAbove(result.tailMass);
  f32[at + 4] = floatAbove(result.outputError);
  f32[at + 5] = CERTIFICATE_KINDS.indexOf(result.kind);
  f32[at + 6] = ROW_OUTCOMES.indexOf(result.outcome);
  f32[at + 7] = result.keysNeeded;
}

/** The result of row number `row`, from the results of a job. */
export function readRowResult(results: Float32Array, row: number): RowResult {
  // By index: there are thousands of rows in a chunk of a prompt, and a view of each would be garbage.
  const at = (i: number) => results[row * ROW_RESULT_NUMBERS + i] as number;
  return {
    keysExact: at(0),
    keysQuantized: at(1),
    bytesRead: at(2),
    tailMass: at(3),
    outputError: at(4),
    kind: CERTIFICATE_KINDS[at(5)] as CertificateKind,
    outcome: ROW_OUTCOMES[at(6)] as RowOutcome,
    keysNeeded: at(7),
  };
}
