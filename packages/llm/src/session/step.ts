/** One pass through the model. */
import type { AttentionReport } from 'keysieve';

/** What a pass through the model gives. */
export interface Step {
  /** Logits of the last token (vocabulary), or of all (tokens, vocabulary), or none: as was asked for. */
  logits: Float32Array;
  report: AttentionReport;
  attentionMs: number;
}
