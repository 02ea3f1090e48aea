/** Progress of loading a model: what is done now, and one figure for all of it. */
import type { SegmentLoadProgress } from '../model/index.ts';

/**
 * Progress of loading a model, by phase: downloading the file from the hub, hashing it, building segments from it,
 * verifying and loading them, measuring which precision is accurate enough.
 */
export interface LoadProgress {
  phase: LoadStep['phase'];
  /** What of the phase is done: bytes; segments for `load`, tokens for `calibrate`. */
  done: number;
  total: number;
  /** Share of the whole that is done, from 0 to 1: it never falls, and is 1 when the model is loaded. */
  overall: number;
}

/** A step of one phase. */
export interface LoadStep {
  phase: 'download' | SegmentLoadProgress['phase'] | 'calibrate';
  done: number;
  total: number;
}

/** A stretch of loading, from one share of the whole to another. */
export interface LoadStretch {
  /** The part of it between two shares of it. */
  part(from: number, to: number): LoadStretch;
  report(step: LoadStep): void;
}

/** All of loading. What is not necessary this time is left out of the figure where it would come first, else skipped. */
export function createLoading(onProgress: ((progress: LoadProgress) => void) | undefined): LoadStretch {
  let start: number | undefined;
  let overall = 0;
  const stretch = (from: number, to: number): LoadStretch => ({
    part: (a, b) => stretch(from + a * (to - from), from + b * (to - from)),
    report(step) {
      start ??= from;
      const share = step.total === 0 ? 1 : step.done / step.total;
      overall = Math.max(overall, (from + share * (to - from) - start) / (1 - start));
      onProgress?.({ ...step, overall });
    },
  });
  return stretch(0, 1);
}

/** Where preparing and loading segments stand in a stretch: shares of the time, roughly. */
const SEGMENT_PHASES: Record<SegmentLoadProgress['phase'], readonly [from: number, to: number]> = {
  hash: [0, 0.05],
  verify: [0.05, 0.1],
  build: [0.1, 0.7],
  load: [0.7, 1],
};

/** Reports how segments are prepared and loaded as a stretch of the whole. */
export const segmentProgress =
  (stretch: LoadStretch) =>
  (progress: SegmentLoadProgress): void =>
    stretch.part(...SEGMENT_PHASES[progress.phase]).report(progress);
