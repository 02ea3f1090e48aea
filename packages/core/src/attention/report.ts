/** What attention read and how exact it was, over some query rows. */
import { type CertificateKind, weakerKind } from '../certificates/certificate.ts';

/** What some query rows read, and how exact they are. */
export interface AttentionReport {
  /** Query rows: heads, layers and tokens all counted. */
  rows: number;
  /** Keys that these rows see. */
  keys: number;
  /** Keys that they read exactly. */
  keysExact: number;
  /** Keys that they read quantized, beside the scan. */
  keysQuantized: number;
  /** Bytes of the cache that were read. */
  bytesRead: number;
  /**
   * Softmax mass that was not read exactly, summed over the rows and the largest of a row: upper bounds, or estimates
   * where `certificate` says so.
   */
  tailMass: { sum: number; max: number };
  /**
   * Certified lower bounds on the softmax mass of keys that a policy has dropped for good, summed over the rows and the largest
   * of a row: known where remains stand for such keys, else 0.
   */
  goneAtLeast: { sum: number; max: number };
  /** Relative output error, summed over the rows and the largest of a row; infinite where nothing is known. */
  outputError: { sum: number; max: number };
  /** The weakest kind of the rows' certificates. */
  certificate: CertificateKind;
  /** Rows that read more keys than the policy selected, because their certificate needed them. */
  rowsCertificateFallback: number;
  /** Rows that read all keys that they see. */
  rowsFull: number;
  /** Rows of layers with a window: they see its keys only, and are among those that read all. */
  rowsWindowed: number;
}

export const emptyReport = (): AttentionReport => ({
  rows: 0,
  keys: 0,
  keysExact: 0,
  keysQuantized: 0,
  bytesRead: 0,
  tailMass: { sum: 0, max: 0 },
  goneAtLeast: { sum: 0, max: 0 },
  outputError: { sum: 0, max: 0 },
  certificate: 'certified',
  rowsCertificateFallback: 0,
  rowsFull: 0,
  rowsWindowed: 0,
});

/** Adds `other` to `report`. */
export function addReport(report: AttentionReport, other: AttentionReport): void {
  report.rows += other.rows;
  report.keys += other.keys;
  report.keysExact += other.keysExact;
  report.keysQuantized += other.keysQuantized;
  report.rowsCertificateFallback += other.rowsCertificateFallback;
  report.rowsFull += other.rowsFull;
  report.rowsWindowed += other.rowsWindowed;
  report.bytesRead += other.bytesRead;
  for (const bound of ['tailMass', 'goneAtLeast', 'outputError'] as const) {
    report[bound].sum += other[bound].sum;
    report[bound].max = Math.max(report[bound].max, other[bound].max);
  }
  report.certificate = weakerKind(report.certificate, other.certificate);
}
