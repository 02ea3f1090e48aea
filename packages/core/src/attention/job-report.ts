/** The report of one job, from its shape and from what its tasks have noted. */
import { type CacheShape, openPrecision } from '../cache/shape.ts';
import { weakerKind } from '../certificates/certificate.ts';
import { rowBytes } from '../kernels/layout.ts';
import type { Job } from './job.ts';
import { type AttentionReport, emptyReport } from './report.ts';
import { type RowResult, readRowResult } from './row-result.ts';

/** Every row read every key that it may see. */
export function reportFull(
  { position, count, blockSize, kind, segments }: Job,
  shape: CacheShape,
  heads: number,
): AttentionReport {
  const { keyValueHeads, headDim, precision } = shape;
  const firstOpenKey = segments.find(({ open }) => open)?.from ?? Number.POSITIVE_INFINITY;
  const keys = heads * (count * position + (count * (count + 1)) / 2);
  // A block of queries reads a key once, for all its queries and all heads of the group.
  const blockQueries = kind === 'full-blocks' ? blockSize : 1;
  let keysStreamed = 0;
  let openStreamed = 0;
  for (let end = 0; end < count; ) {
    end = Math.min(count, end + blockQueries);
    keysStreamed += position + end;
    openStreamed += Math.max(0, position + end - firstOpenKey);
  }
  const closedBytes = (keysStreamed - openStreamed) * rowBytes(headDim, precision);
  const openBytes = openStreamed * rowBytes(headDim, openPrecision(shape));
  const bytesRead = keyValueHeads * 2 * (closedBytes + openBytes);
  return { ...emptyReport(), rows: count * heads, keys, keysExact: keys, bytesRead, rowsFull: count * heads };
}

/** Adds up the `results` (count * heads, ROW_RESULTS) of the rows. */
export function reportRows({ position, count }: Job, heads: number, results: Float32Array): AttentionReport {
  const report = emptyReport();
  for (let row = 0; row < count * heads; row++) {
    addRow(report, position + Math.floor(row / heads) + 1, readRowResult(results, row));
  }
  return report;
}

/** Adds one row that may see n keys. */
export function addRow(report: AttentionReport, n: number, result: RowResult): void {
  const { keysExact, keysQuantized, bytesRead, tailMass, outputError, kind, outcome, keysNeeded } = result;
  report.rows += 1;
  report.keys += n;
  report.keysExact += keysExact;
  report.keysQuantized += keysQuantized;
  report.bytesRead += bytesRead;
  report.tailMass.sum += tailMass;
  report.tailMass.max = Math.max(report.tailMass.max, tailMass);
  report.outputError.sum += outputError;
  report.outputError.max = Math.max(report.outputError.max, outputError);
  report.certificate = weakerKind(report.certificate, kind);
  if (outcome === 'certificateFallback') report.rowsCertificateFallback += 1;
  if (outcome === 'full') report.rowsFull += 1;
  if (keysNeeded === 0) return;
  report.certificateFallbacks.rows += 1;
  report.certificateFallbacks.keysExact += keysExact;
  report.certificateFallbacks.keysNeeded += keysNeeded;
}
