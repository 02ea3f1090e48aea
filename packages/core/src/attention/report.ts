/** What attention read and how exact it was, over some query rows. */
import { type CertificateKind, weakerKind } from '../certificates/certificate.ts';

/** What some query rows read, and how exact they are. */
export interface AttentionReport {
  /** Query rows: heads, layers and tokens all counted. */
  rows: number;
  /** Keys that these rows might have read. */
  keys: number;
  /** Keys that they read exactly. */
  keysRead: number;
  /** Keys that they read by their codes alone, beside the scan. */
  keysCoded: number;
  /** Bytes of the cache that were read. */
  bytesRead: number;
  /**
   * Sum over the rows, and the largest, of the share of the softmax that was not read exactly: a bound, or an estimate
   * where the certificate says so.
   */
  tailMass: { sum: number; max: number };
  /** The same of the relative output error; infinite where nothing is known. */
  outputError: { sum: number; max: number };
  /** The weakest of the rows' certificates. */
  certificate: CertificateKind;
  /** Rows that read more keys than the policy chose, because their certificate asked for it. */
  rowsExtended: number;
  /** Rows that read all keys. */
  rowsDense: number;
  /**
   * Rows that read on for the sake of a certificate, in the end all keys; the keys that they read exactly; and how many
   * any choice of keys would have needed at least, as far as bounds tell.
   */
  readOn: { rows: number; keysRead: number; keysNeeded: number };
}

export const emptyReport = (): AttentionReport => ({
  rows: 0,
  keys: 0,
  keysRead: 0,
  keysCoded: 0,
  bytesRead: 0,
  tailMass: { sum: 0, max: 0 },
  outputError: { sum: 0, max: 0 },
  certificate: 'certified',
  rowsExtended: 0,
  rowsDense: 0,
  readOn: { rows: 0, keysRead: 0, keysNeeded: 0 },
});

/** Adds `other` to `report`. */
export function addReport(report: AttentionReport, other: AttentionReport): void {
  report.rows += other.rows;
  report.keys += other.keys;
  report.keysRead += other.keysRead;
  report.keysCoded += other.keysCoded;
  report.rowsExtended += other.rowsExtended;
  report.rowsDense += other.rowsDense;
  report.bytesRead += other.bytesRead;
  for (const what of ['rows', 'keysRead', 'keysNeeded'] as const) report.readOn[what] += other.readOn[what];
  for (const bound of ['tailMass', 'outputError'] as const) {
    report[bound].sum += other[bound].sum;
    report[bound].max = Math.max(report[bound].max, other[bound].max);
  }
  report.certificate = weakerKind(report.certificate, other.certificate);
}
