/**
 * What the heads of each layer read while tokens go through a policy, and how far their outputs are from those of dense
 * attention with the same queries, keys and values.
 */
import type { AttentionEvent } from '@keysieve/llm';
import { type AttentionReport, addReport, type CertificateKind, emptyReport } from 'keysieve';
import { relativeError } from '../numerics/attention.ts';
import { mean, quantile } from '../numerics/statistics.ts';

/** Figures of some heads, over the compared tokens. */
export interface AttentionFigures {
  /** ||o' - o|| / ||o|| of the heads' outputs, measured against full attention on the audited tokens. */
  outputError: { mean: number; p95: number };
  /** The output error as the policy itself reports it, over all compared tokens: a bound or an estimate, as `certificate` says. */
  estimatedError: { mean: number | null; max: number | null };
  /** Share of the softmax that was not read exactly, as reported: a bound or an estimate. */
  tailMass: { mean: number; max: number };
  /** Share of the softmax that is certainly gone with keys that were dropped: mean of certified lower bounds, 0 where none are known. */
  goneAtLeast: number;
  certificate: CertificateKind;
  /** Keys that a head read exactly for a token, and quantized. */
  keysExact: number;
  keysQuantized: number;
  /** Bytes read for each key of the context and key-value head. */
  bytesPerKey: number;
  /** Share of the heads that had full attention. */
  fullAttentionShare: number;
}

/** Figures of one layer that policies select keys in. */
export interface LayerFigures extends AttentionFigures {
  layer: number;
}

export interface AuditShape {
  layers: number;
  heads: number;
  keyValueHeads: number;
  headDim: number;
}

export interface Audit {
  /** For `EvaluateOptions.onAttention`. */
  onAttention(event: AttentionEvent): void;
  figures(): AttentionFigures;
  layers(): LayerFigures[];
}

/** Watches every token; at the positions in `audited` it attends once more, with full attention. */
export function createAudit(
  { layers, heads, keyValueHeads, headDim }: AuditShape,
  audited: ReadonlySet<number>,
): Audit {
  const reports = Array.from({ length: layers }, emptyReport);
  const errors = Array.from({ length: layers }, (): number[] => []);
  const width = heads * headDim;
  const figuresOf = (report: AttentionReport, measured: readonly number[]): AttentionFigures => ({
    outputError: { mean: mean(measured), p95: quantile(measured, 0.95) },
    estimatedError: {
      mean: finiteOrNull(report.outputError.sum / report.rows),
      max: finiteOrNull(report.outputError.max),
    },
    tailMass: { mean: report.tailMass.sum / report.rows, max: report.tailMass.max },
    goneAtLeast: report.goneAtLeast.sum / report.rows,
    certificate: report.certificate,
    keysExact: report.keysExact / report.rows,
    keysQuantized: report.keysQuantized / report.rows,
    bytesPerKey: report.bytesRead / ((report.keys * keyValueHeads) / heads),
    fullAttentionShare: report.rowsFull / report.rows,
  });
  return {
    onAttention({ modelLayer, layer, position, queries, outputs, report, attention }) {
      addReport(reports[modelLayer] as AttentionReport, report);
      for (let token = 0; token < queries.length / width; token++) {
        if (!audited.has(position + token)) continue;
        const row = queries.subarray(token * width, (token + 1) * width);
        const request = { layer, position: position + token, queries: row, policy: { policy: 'dense' } };
        const truth = attention.attend(request).outputs;
        for (let head = 0; head < heads; head++) {
          const from = token * width + head * headDim;
          const output = outputs.subarray(from, from + headDim);
          errors[modelLayer]?.push(relativeError(output, truth.subarray(head * headDim, (head + 1) * headDim)));
        }
      }
    },
    figures() {
      const total = emptyReport();
      for (const report of reports) addReport(total, report);
      return figuresOf(total, errors.flat());
    },
    layers: () =>
      reports
        .map((report, layer) => ({ layer, ...figuresOf(report, errors[layer] ?? []) }))
        .filter(({ layer }) => reports[layer]?.rows !== 0),
  };
}

const finiteOrNull = (x: number): number | null => (Number.isFinite(x) ? x : null);

/** `count` evenly spaced integers in [from, to), or all of them where there are fewer. */
export function evenlySpaced(from: number, to: number, count: number): Set<number> {
  const size = Math.min(count, to - from);
  return new Set(Array.from({ length: size }, (_, i) => from + Math.floor(((i + 0.5) * (to - from)) / size)));
}
