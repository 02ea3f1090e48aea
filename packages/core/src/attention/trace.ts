/**
 * Where the time of attention goes. A step in one call of the kernels has no parts that a clock could see, so while phases
 * are timed the calling thread selects and attends step by step, in single kernel calls, each of which belongs to a phase.
 * That takes somewhat longer than the fused step, and gives the same numbers but for rounding. Without a trace nothing is
 * wrapped and nothing is timed.
 */
import type { Kernels } from '../kernels/kernels.ts';

/** The phases of attention, in the order of a step. */
export const TRACE_PHASES = ['scan', 'draw', 'score', 'exact', 'values', 'merge', 'waiting', 'other'] as const;

/**
 * - `scan`: all keys, by their signs, by bounds or exactly
 * - `draw`: the sample
 * - `score`: the sample by 4-bit keys, its weights, and which of its keys are attended exactly
 * - `exact`: attention to exact keys and values
 * - `values`: attention to 4-bit values
 * - `merge`: softmax states into outputs and errors
 * - `waiting`: for the tasks of other threads, once there are none left to take
 * - `other`: copies, plans, certificates and reports
 */
export type TracePhase = (typeof TRACE_PHASES)[number];

/** Milliseconds by phase. */
export type PhaseTimes = Record<TracePhase, number>;

/** The time that one call of `attend` took in the calling thread. */
export interface AttentionTrace {
  layer: number;
  /** Position of the first query. */
  position: number;
  /** Queries. */
  count: number;
  /** What the policy is called: see `Policy.describe`. */
  policy: string;
  /** The phases add up to the time of the call. */
  milliseconds: PhaseTimes;
}

export const noTimes = (): PhaseTimes => ({
  scan: 0,
  draw: 0,
  score: 0,
  exact: 0,
  values: 0,
  merge: 0,
  waiting: 0,
  other: 0,
});

/** The phase of every kernel; those of the cache are in none. */
const PHASES: Readonly<Record<Exclude<keyof Kernels, 'name'>, TracePhase | undefined>> = {
  scaleQueries: 'other',
  quantizeQueries: 'scan',
  scanSigns: 'scan',
  boundScores: 'scan',
  scoreKeys: 'scan',
  scanScores: 'scan',
  approximateLogSumExp: 'scan',
  maxOverHeads: 'scan',
  drawKeys: 'draw',
  scoreQuantized: 'score',
  applyImportanceWeights: 'score',
  updateLogSumExp: 'score',
  maxScoresOverHeads: 'score',
  selectLargest: 'score',
  countBounds: 'score',
  listForMass: 'score',
  splitSample: 'score',
  fitScan: 'score',
  fitScanRows: 'score',
  undrawnSquares: 'score',
  attendFull: 'exact',
  attendSelected: 'exact',
  attendGathered: 'exact',
  attendMasked: 'exact',
  scoreSelected: 'exact',
  sumExactSquares: 'exact',
  addValues: 'exact',
  addQuantizedValues: 'values',
  sieve: 'scan',
  initSoftmaxState: 'merge',
  mergeState: 'merge',
  mergeHalfSamples: 'merge',
  finishSieve: 'merge',
  normalize: 'merge',
  rotate: 'merge',
  inverseRotate: 'merge',
  store: undefined,
  quantizePage: undefined,
  dequantizeRows: undefined,
};

/** Kernels that add the milliseconds of every call to its phase. */
export function timeKernels(kernels: Kernels, times: PhaseTimes): Kernels {
  const timed: Record<string, unknown> = { ...kernels };
  for (const [name, phase] of Object.entries(PHASES)) {
    if (phase === undefined) continue;
    const kernel = timed[name] as (...args: unknown[]) => unknown;
    timed[name] = (...args: unknown[]) => {
      const started = performance.now();
      const result = kernel(...args);
      times[phase] += performance.now() - started;
      return result;
    };
  }
  return timed as unknown as Kernels;
}
