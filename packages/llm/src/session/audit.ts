/**
 * An audit of an answer: at some of its positions, drawn at random, the model is run once more with full attention over
 * the same cache, and what it predicts then is compared with what it did predict. The answer is what it would be without,
 * but for rounding where drafts are cut short before an audited position.
 *
 * How long an answer becomes is known at its end, so positions are drawn by a reservoir (Vitter 1985, algorithm R): each
 * position is audited when it comes with the chance of being among those that are kept, which leaves a uniform sample of
 * N, and costs N (1 + ln (T / N)) passes for an answer of T tokens.
 */
import { type AttentionReport, addReport, type CertificateKind, emptyReport } from 'keysieve';
import { klDivergence } from './divergence.ts';
import type { AttentionEvent, Step } from './forward-pass.ts';

/** What was measured at some positions of an answer, beside what was estimated there. */
export interface Audit {
  kind: 'measured';
  /** Positions of the sequence whose predictions were compared, ascending. */
  positions: number[];
  /** KL divergence of the predictions from those of full attention over the same cache, in nats. */
  kl: { mean: number; max: number };
  /** Share of the positions at which the likeliest token is the same. */
  agreement: number;
  /**
   * ||o' - o|| / ||o|| of the outputs of the heads whose keys a policy selects, over the same cache and for the same
   * queries. Layers that read all keys in any case, such as those with a window, are not among them.
   */
  outputError: { mean: number; max: number };
  /**
   * The error at these positions as the policy reported it, over all heads: its mean, null where nothing is known of one, and
   * what it is.
   */
  reportedError: { mean: number | null; kind: CertificateKind };
  /** Passes with full attention that were run, those whose positions were replaced by others included, and their time. */
  passes: number;
  milliseconds: number;
}

/** One audited position. */
interface AuditedPosition {
  position: number;
  kl: number;
  agrees: boolean;
  errors: { sum: number; max: number; count: number };
  report: AttentionReport;
}

/** The two passes of a position. */
export interface AuditedPasses {
  /** Runs the position with full attention, and leaves the cache as it was. */
  runDense(): Promise<Float32Array>;
  /** Runs it by the policy, and shows the attention of each layer. */
  run(onAttention: (event: AttentionEvent) => void): Promise<Step>;
}

export interface Auditor {
  /** How many positions, up to `limit`, come before the next one that is drawn; 0: the next one is. */
  untilNext(limit: number): number;
  /** Counts positions that have been run without an audit, of those that come before the next one. */
  skip(positions: number): void;
  /** Runs the position that is drawn, and audits it. */
  decode(position: number, passes: AuditedPasses): Promise<Step>;
  /** What has been measured; null where no position was audited. */
  result(): Audit | null;
}

/** Audits `count` positions of those that come. `random` gives numbers in [0, 1). */
export function createAuditor(count: number, random: () => number): Auditor {
  const kept: AuditedPosition[] = [];
  let [seen, passes, milliseconds] = [0, 0, 0];
  /** Positions that are known to come before the next audited one, and the place of that one, once it is drawn. */
  let free = 0;
  let due: number | undefined;
  return {
    untilNext(limit) {
      while (due === undefined && free < limit) {
        seen++;
        const place = kept.length < count ? kept.length : Math.floor(random() * seen);
        if (place < count) due = place;
        else free++;
      }
      return Math.min(free, limit);
    },
    skip(positions) {
      free -= positions;
    },
    async decode(position, { runDense, run }) {
      const place = due as number;
      const started = performance.now();
      const dense = await runDense();
      passes++;
      milliseconds += performance.now() - started;
      const errors = { sum: 0, max: 0, count: 0 };
      const step = await run((event) => {
        const before = performance.now();
        addOutputErrors(errors, event);
        milliseconds += performance.now() - before;
      });
      const agrees = likeliest(dense) === likeliest(step.logits);
      kept[place] = { position, kl: klDivergence(dense, step.logits), agrees, errors, report: step.report };
      due = undefined;
      return step;
    },
    result: () => (kept.length === 0 ? null : summarize(kept, passes, milliseconds)),
  };
}

function summarize(kept: readonly AuditedPosition[], passes: number, milliseconds: number): Audit {
  const report = emptyReport();
  for (const each of kept) addReport(report, each.report);
  const mean = (of: (each: AuditedPosition) => number) => kept.reduce((sum, each) => sum + of(each), 0) / kept.length;
  const max = (of: (each: AuditedPosition) => number) => kept.reduce((most, each) => Math.max(most, of(each)), 0);
  const outputs = kept.reduce((sum, { errors }) => sum + errors.count, 0);
  const reported = report.outputError.sum / Math.max(1, report.rows);
  return {
    kind: 'measured',
    positions: kept.map(({ position }) => position).sort((a, b) => a - b),
    kl: { mean: mean(({ kl }) => kl), max: max(({ kl }) => kl) },
    agreement: mean(({ agrees }) => (agrees ? 1 : 0)),
    outputError: {
      mean: kept.reduce((sum, { errors }) => sum + errors.sum, 0) / Math.max(1, outputs),
      max: max(({ errors }) => errors.max),
    },
    reportedError: { mean: Number.isFinite(reported) ? reported : null, kind: report.certificate },
    passes,
    milliseconds,
  };
}

/** Adds the errors of one layer's outputs against full attention for the same queries. */
function addOutputErrors(errors: AuditedPosition['errors'], event: AttentionEvent): void {
  const { layer, position, queries, outputs, attention } = event;
  const truth = attention.attend({ layer, position, queries, policy: { policy: 'dense' } }).outputs;
  const { headDim } = attention.cache.shape;
  for (let from = 0; from < outputs.length; from += headDim) {
    let [error, norm] = [0, 0];
    for (let i = from; i < from + headDim; i++) {
      error += ((outputs[i] as number) - (truth[i] as number)) ** 2;
      norm += (truth[i] as number) ** 2;
    }
    const relative = error === 0 ? 0 : Math.sqrt(error / norm);
    errors.sum += relative;
    errors.max = Math.max(errors.max, relative);
    errors.count++;
  }
}

function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] as number) > (logits[best] as number)) best = i;
  return best;
}
