/**
 * What a measurement keeps of the queries it has sampled: for each of them the keys that it needed, so that laws can be
 * fitted to single queries, and sums of everything else. It does not grow while it is filled, and can be saved.
 */

import { CRITERIA, type Criterion, type MeasurePlan, type QueryMeasurement, SINK_POSITIONS } from 'keysieve';
import { createResidualSketch, type ResidualSketch } from '../methods/residual-sketch.ts';
import { countByDistance, type DistanceSums } from './distance-sums.ts';
import { keysForError } from './needed-keys.ts';

/** What is measured of which heads; all of it must be the same for what is added up. */
export interface TallyDesign extends MeasurePlan {
  layers: number;
  heads: number;
  keyValueHeads: number;
  lengths: readonly number[];
  /** Queries of each length that are sampled, and those at which the policy is tried. */
  queryCounts: readonly number[];
  trialCounts: readonly number[];
  /** Budgets at which it is tried. */
  budgets: readonly number[];
}

/** What is tried of a policy: one budget, one group, one query. */
export interface Trial {
  /** Index of the length, and of the trial among those of the length. */
  length: number;
  index: number;
  layer: number;
  keyValueHead: number;
  /** Keys that the query sees. */
  n: number;
  /** Index of the budget. */
  budget: number;
  /** Relative, mean over the heads of the group. */
  squaredError: number;
  /** Bytes that were read for the group. */
  bytes: number;
}

const SCALARS = ['sinkMass', 'localMass', 'effectiveKeys', 'scoreSpread'] as const;
/** Sums over the trials of a length and budget. */
const READ_TOTALS = 3;
const CURVES = ['errorWithoutTail', 'errorWithTail'] as const;
/** Queries of a length are halved, by turns: a profile over distances is fitted to one half and tried on the other. */
const HALVES = 2;
const halfOf = (index: number): number => index % HALVES;
/** Rows of sketches are spread by this seed, the same in every run, so that a saved one can be continued. */
const SKETCH_SEED = 1;

export class LawTally {
  readonly design: TallyDesign;
  /** Keys that each query sees: (queries); 0 where it has not been sampled yet. Queries of a length follow each other. */
  readonly n: Float32Array;
  /** Keys that it needed: (heads of all layers, needs, shares, queries). */
  readonly #keys: Float32Array;
  /** Sums over the queries of a length: (heads, lengths, facts). */
  readonly #scalars: Float64Array;
  /** Of squared errors: (heads, lengths, curves, ladder). */
  readonly #squares: Float64Array;
  /** Sums of scores by distance, and of their squares: (heads, lengths, halves, buckets + 1). */
  readonly #distances: Float64Array;
  /** Sketches of the softmax weights of all queries: (heads, sketchSize, sketchSize). */
  readonly #sketches: Float32Array;
  /** Keys that each query of a trial sees: (trials); and its squared errors: (groups, trials, budgets). */
  readonly trialN: Float32Array;
  readonly #trialSquares: Float32Array;
  /** Of all trials of single groups at a length, sums: bytes that were read, keys that were seen, 1: (lengths, budgets, 3). */
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

  /** Takes what was found of sample number `index` of a length, at a query that sees n keys. */
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

  /** Keys that the queries of a head needed, along `n`. */
  keys(row: number, criterion: Criterion, share: number): Float32Array {
    const at = this.#keyOffset(row, criterion, share);
    return this.#keys.subarray(at, at + this.n.length);
  }

  /** Where the queries of a length lie in `n`: [from, to). */
  range(length: number): [number, number] {
    const from = this.#queryIndex(this.design.queryCounts, length, 0);
    return [from, from + (this.design.queryCounts[length] as number)];
  }

  /** Mean over the queries of a length. */
  scalar(row: number, length: number, scalar: (typeof SCALARS)[number]): number {
    const { lengths, queryCounts } = this.design;
    const at = (row * lengths.length + length) * SCALARS.length + SCALARS.indexOf(scalar);
    return (this.#scalars[at] as number) / (queryCounts[length] as number);
  }

  /** Mean squared errors along the ladder; NaN where the ladder has more keys than 60 % of those of some query. */
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

  /** Where the trials of a length lie in `trialN`: [from, to). */
  trialRange(length: number): [number, number] {
    const from = this.#queryIndex(this.design.trialCounts, length, 0);
    return [from, from + (this.design.trialCounts[length] as number)];
  }

  /** Squared errors of a group in one trial, along the budgets; NaN where it was not tried. */
  trialSquares(group: number, trial: number): Float32Array {
    const { length } = this.design.budgets;
    const at = (group * this.trialN.length + trial) * length;
    return this.#trialSquares.subarray(at, at + length);
  }

  /** Mean bytes that a group reads for a query of a length, and mean keys that it sees; NaN where it was not tried. */
  reading(length: number, budget: number): { bytes: number; n: number } {
    const at = (length * this.design.budgets.length + budget) * READ_TOTALS;
    const [bytes = 0, n = 0, count = 0] = this.#bytes.subarray(at, at + READ_TOTALS);
    return { bytes: bytes / count, n: n / count };
  }

  /** All that has been gathered, by name: to be saved, and to be filled with what was saved. */
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
