/** What a job adds to a report, from its plan or from the results of its rows. */
import { type CacheShape, openPrecision } from '../cache/shape.ts';
import { weakerKind } from '../certificates/certificate.ts';
import { rowBytes } from '../kernels/layout.ts';
import type { Job } from './job.ts';
import type { AttentionReport } from './report.ts';
import { type RowResult, readRowResult } from './row-result.ts';
import type { ScoreRule } from './score-rule.ts';

/** Adds a job whose rows all read every key that they may see. */
export function reportFull(
  report: AttentionReport,
  { position, count, blockSize, kind, segments }: Pick<Job, 'position' | 'count' | 'blockSize' | 'kind' | 'segments'>,
  shape: CacheShape,
  heads: number,
  { window = Number.POSITIVE_INFINITY }: ScoreRule,
): void {
  const { keyValueHeads, headDim, precision } = shape;
  const firstOpenKey = segments.find(({ open }) => open)?.from ?? Number.POSITIVE_INFINITY;
  const keys = heads * keysSeen(position, count, window);
  // A block of queries reads a key once, for all its queries and all heads of the group.
  const blockQueries = kind === 'full-blocks' ? blockSize : 1;
  let keysStreamed = 0;
  let openStreamed = 0;
  for (let end = 0; end < count; ) {
    const firstKey = Math.max(0, position + end + 1 - window);
    end = Math.min(count, end + blockQueries);
    keysStreamed += position + end - firstKey;
    openStreamed += Math.max(0, position + end - Math.max(firstKey, firstOpenKey));
  }
  const fullPageBytes = (keysStreamed - openStreamed) * rowBytes(headDim, precision);
  const openBytes = openStreamed * rowBytes(headDim, openPrecision(shape));
  report.rows += count * heads;
  report.keys += keys;
  report.keysExact += keys;
  report.bytesRead += keyValueHeads * 2 * (fullPageBytes + openBytes);
  report.rowsFull += count * heads;
  if (Number.isFinite(window)) report.rowsWindowed += count * heads;
}

/** Keys that queries at `count` positions from `position` on see, all together. */
function keysSeen(position: number, count: number, window: number): number {
  const growing = Math.max(0, Math.min(count, window - position));
  const sum = growing * position + (growing * (growing + 1)) / 2;
  return growing === count ? sum : sum + (count - growing) * window;
}

/** Adds the rows of a job, from their `results` (count, heads, ROW_RESULT_NUMBERS). */
export function reportRows(
  report: AttentionReport,
  { position, count }: Pick<Job, 'position' | 'count'>,
  heads: number,
  results: Float32Array,
): void {
  for (let row = 0; row < count * heads; row++) {
    addRow(report, position + Math.floor(row / heads) + 1, readRowResult(results, row));
  }
}

/** Adds one row that may see n keys. */
export function addRow(report: AttentionReport, n: number, result: RowResult): void {
  const { keysExact, keysQuantized, bytesRead, tailMass, outputError, kind, outcome } = result;
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
}
