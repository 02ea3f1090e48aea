/**
 * The tally of the sampled queries of a text: the keys that each of them needed, so that laws can be fitted to single
 * queries, and sums of everything else. It does not grow while it is filled, and can be saved.
 */
import { CRITERIA, type Criterion } from 'keysieve';
import { type MeasurePlan, type QueryMeasurement, SINK_POSITIONS } from 'keysieve/engine';
import { createResidualSketch, type ResidualSketch } from '../methods/residual-sketch.ts';
import { countByDistance, type DistanceSums } from './distance-sums.ts';
import { keysForError } from './needed-keys.ts';

/** What is measured, and of which heads. Tallies of one design can be pooled. */
export interface TallyDesign extends MeasurePlan {
  /** Layers that are measured: those that policies select keys in. */
  layers: number;
  /** Their indices in the model, where it has others, too. */
  layerIndices?: readonly number[] | undefined;
  heads: number;
  keyValueHeads: number;
  lengths: readonly number[];
  /** Queries sampled at each length, and those at which the policy is measured. */
  queryCounts: readonly number[];
  trialCounts: readonly number[];
  /** Numbers of keys at which the policy is measured. */
  budgets: readonly number[];
}

/** The result of the policy for one budget, group and query. */
export interface Trial {
  /** Index of the length, and of the trial among those of the length. */
  length: number;
  index: number;
  layer: number;
  keyValueHead: number;
  /** Keys in the query's context. */
  n: number;
  /** Index of the budget. */
  budget: number;
  /** ||o' - o||^2 / ||o||^2, mean over the heads of the group. */
  squaredError: number;
  /** Bytes that were read for the group. */
  bytes: number;
}

const SCALARS = ['sinkMass', 'localMass', 'effectiveKeys', 'scoreSpread'] as const;
/** Sums kept for each length and budget. */
const READ_TOTALS = 3;
const CURVES = ['errorWithoutTail', 'errorWithTail'] as const;
/** Queries of a length are halved, by turns: a profile over distances is fitted to one half and tried on the other. */
const HALVES = 2;
const halfOf = (index: number): number => index % HALVES;
/** Rows of sketches are spread by this seed, the same in every run, so that a saved one can be continued. */
const SKETCH_SEED = 1;

/** Sums and needed keys of one text. */
export class LawTally {
  readonly design: TallyDesign;
  /** n of each query, length by length: (queries); 0 where it has not been sampled yet. */
  readonly n: Float32Array;
  /** Needed keys: (heads of all layers, criteria, shares, queries). */
  readonly #keys: Float32Array;
  /** Sums over the queries of a length: (heads, lengths, scalars). */
  readonly #scalars: Float64Array;
  /** Sums of squared errors: (heads, lengths, curves, ladder). */
  readonly #squares: Float64Array;
  /** Sums of scores by distance, and of their squares: (heads, lengths, halves, buckets + 1). */
  readonly #distances: Float64Array;
  /** Sketches of the softmax weights of all queries: (heads, sketchSize, sketchSize). */
  readonly #sketches: Float32Array;
  /** n of each query at which the policy is measured: (trials). */
  readonly trialN: Float32Array;
  /** Squared errors: (groups, trials, budgets). */
  readonly #trialSquares: Float32Array;
  /** Sums over trials and groups of bytes, n and 1: (lengths, budgets, 3). */
  readonly #bytes: Float64Array;

  constructor(design: TallyDesign) {
    const { layers, heads, keyValueHeads, lengths, shares, ladder, budgets, queryCounts, trialCounts } = design;
    const { distanceBuckets, sketchSize } = design;
    this.design = design;
    const [queries, trialTotal] = [sum(queryCounts), sum(trialCounts)];
    this.n = new Float32Array(queries);
    this.#keys = new Float32Array(layers * heads * CRITERIA.length * shares.length * queries);
    this.#scalars = new Float64Array(layers * heads * lengths.length * SCALARS.length);
    this.#squares = new Float64Array(layers * heads * lengths.length * CURVES.length * ladder.length);
    this.#distances = new Float64Array(layers * heads * lengths.length * HALVES * (distanceBuckets + 1));
    this.#sketches = new Float32Array(layers * heads * sketchSize ** 2);
    this.trialN = new Float32Array(trialTotal);
    this.#trialSquares = new Float32Array(layers * keyValueHeads * trialTotal * budgets.length).fill(Number.NaN);
    this.#bytes = new Float64Array(lengths.length * budgets.length * READ_TOTALS);
  }

  /** Adds the measurement of query number `index` of a length, with n keys in its context, in one head. */
  add(length: number, index: number, layer: number, head: number, n: number, measurement: QueryMeasurement): void {
    const { heads, shares, ladder, lengths } = this.design;
    const query = this.#queryIndex(this.design.queryCounts, length, index);
    const row = layer * heads + head;
    this.n[query] = n;
    for (const [i, share] of shares.entries()) {
      this.#keys[this.#keyOffset(row, 'mass', i) + query] = measurement.mass[i] as number;
      for (const curve of CURVES) {
        this.#keys[this.#keyOffset(row, curve, i) + query] = keysForError(measurement[curve], ladder, n, share);
      }
    }
    const scalars = this.#scalars.subarray((row * lengths.length + length) * SCALARS.length);
    for (const [i, scalar] of SCALARS.entries()) scalars[i] = (scalars[i] as number) + measurement[scalar];
    for (const [i, curve] of CURVES.entries()) {
      const at = ((row * lengths.length + length) * CURVES.length + i) * ladder.length;
      for (const rung of ladder.keys()) {
        const error = measurement[curve][rung] as number;
        this.#squares[at + rung] = (this.#squares[at + rung] as number) + error * error;
      }
    }
    const sums = this.#halfAt(row, length, halfOf(index));
    for (const [i, sum] of measurement.distanceSums.entries()) sums[i] = (sums[i] as number) + sum;
    const last = sums.length - 1;
    sums[last] = (sums[last] as number) + measurement.scoreSquares;
    this.sketch(row).addSketchedRow(query, measurement.rowSketch);
  }

  /** Adds a result of the policy. */
  addTrial(trial: Trial): void {
    const { keyValueHeads, budgets, trialCounts } = this.design;
    const { length, index, layer, keyValueHead, n, budget, squaredError, bytes } = trial;
    const query = this.#queryIndex(trialCounts, length, index);
    this.trialN[query] = n;
    const group = layer * keyValueHeads + keyValueHead;
    this.#trialSquares[(group * this.trialN.length + query) * budgets.length + budget] = squaredError;
    const at = (length * budgets.length + budget) * READ_TOTALS;
    for (const [i, number] of [bytes, n, 1].entries()) this.#bytes[at + i] = (this.#bytes[at + i] as number) + number;
  }

  /** Needed keys of the queries of a head, in the order of `n`. */
  keys(row: number, criterion: Criterion, share: number): Float32Array {
    const at = this.#keyOffset(row, criterion, share);
    return this.#keys.subarray(at, at + this.n.length);
  }

  /** The range [from, to) of a length's queries in `n`. */
  range(length: number): [number, number] {
    const from = this.#queryIndex(this.design.queryCounts, length, 0);
    return [from, from + (this.design.queryCounts[length] as number)];
  }

  /** Mean of a scalar over the queries of a length. */
  scalar(row: number, length: number, scalar: (typeof SCALARS)[number]): number {
    const { lengths, queryCounts } = this.design;
    const at = (row * lengths.length + length) * SCALARS.length + SCALARS.indexOf(scalar);
    return (this.#scalars[at] as number) / (queryCounts[length] as number);
  }

  /** Mean squared errors along the ladder; NaN where a rung has more than 60 % of the keys of some query. */
  squaredErrors(row: number, length: number, curve: (typeof CURVES)[number]): Float64Array {
    const { lengths, ladder, queryCounts } = this.design;
    const at = ((row * lengths.length + length) * CURVES.length + CURVES.indexOf(curve)) * ladder.length;
    return this.#squares.slice(at, at + ladder.length).map((squares) => squares / (queryCounts[length] as number));
  }

  /**
   * Of one half of the queries of a length: the sums of score - mean by the bucket of the distance, the number of keys in
   * each bucket, and the sum of the squares.
   */
  distances(row: number, length: number, half: number): DistanceSums {
    const sums = this.#halfAt(row, length, half);
    const buckets = sums.length - 1;
    const counts = new Float64Array(buckets);
    const [from, to] = this.range(length);
    for (let query = from; query < to; query++) {
      if (halfOf(query - from) === half) countByDistance((this.n[query] as number) - SINK_POSITIONS, counts);
    }
    return { sums: sums.slice(0, buckets), counts, squares: sums[buckets] as number };
  }

  /** The sketch of the attention of all sampled queries of a head. */
  sketch(row: number): ResidualSketch {
    const { sketchSize } = this.design;
    const sketch = this.#sketches.subarray(row * sketchSize ** 2, (row + 1) * sketchSize ** 2);
    return createResidualSketch(sketchSize, SKETCH_SEED, sketch);
  }

  /** The range [from, to) of a length's trials in `trialN`. */
  trialRange(length: number): [number, number] {
    const from = this.#queryIndex(this.design.trialCounts, length, 0);
    return [from, from + (this.design.trialCounts[length] as number)];
  }

  /** Squared errors of a group in one trial, along the budgets; NaN where not measured. */
  trialSquares(group: number, trial: number): Float32Array {
    const { length } = this.design.budgets;
    const at = (group * this.trialN.length + trial) * length;
    return this.#trialSquares.subarray(at, at + length);
  }

  /** Mean bytes that a group read for a query of a length, and mean n; NaN where not measured. */
  reading(length: number, budget: number): { bytes: number; n: number } {
    const at = (length * this.design.budgets.length + budget) * READ_TOTALS;
    const [bytes = 0, n = 0, count = 0] = this.#bytes.subarray(at, at + READ_TOTALS);
    return { bytes: bytes / count, n: n / count };
  }

  /** All numbers by name, as views: for saving, and for restoring what was saved. */
  arrays(): Record<string, Float32Array | Float64Array> {
    return {
      n: this.n,
      keys: this.#keys,
      scalars: this.#scalars,
      squares: this.#squares,
      distances: this.#distances,
      sketches: this.#sketches,
      trialN: this.trialN,
      trialSquares: this.#trialSquares,
      bytes: this.#bytes,
    };
  }

  #keyOffset(row: number, criterion: Criterion, share: number): number {
    const { shares } = this.design;
    return ((row * CRITERIA.length + CRITERIA.indexOf(criterion)) * shares.length + share) * this.n.length;
  }

  #halfAt(row: number, length: number, half: number): Float64Array {
    const { lengths, distanceBuckets } = this.design;
    const at = ((row * lengths.length + length) * HALVES + half) * (distanceBuckets + 1);
    return this.#distances.subarray(at, at + distanceBuckets + 1);
  }

  #queryIndex(counts: readonly number[], length: number, index: number): number {
    return sum(counts.slice(0, length)) + index;
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, x) => total + x, 0);
