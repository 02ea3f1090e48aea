/**
 * The budget of a prompt, divided over its heads by the errors that they showed on the tokens before.
 *
 * Some heads need many keys and some need few: with equal budgets a few heads make up most of the model's error. If the
 * squared error of a head with a sample of K keys is a / K^p, the division of a total that minimizes the sum of squared
 * errors has K in proportion to a^(1 / (1 + p)) (Neyman 1934, for p = 1). Every block estimates its head's a at no
 * extra reads, by its half-samples. Errors count relative to the outputs of all heads of the layer, which are added up.
 */
import { ERROR_EXPONENT, MAX_BUDGET_FACTOR, MIN_BUDGET_FACTOR, NEWEST_WEIGHT } from './constants.ts';

/**
 * Numbers of a block's errors: its squared error and the squared norm of its outputs; both 0 where it drew no sample.
 */
export const BLOCK_ERROR_NUMBERS = 2;

/** The blocks of one layer. */
export interface BlocksOfLayer {
  layer: number;
  /** Position behind the last query. */
  n: number;
  /** Address in the job's memory of (tasks, BLOCK_ERROR_NUMBERS), where task t is of the head t mod keyValueHeads. */
  blockErrors: number;
  /** The factor of each key-value head. */
  budgetFactors: readonly number[];
}

export class HeadBudgetAllocator {
  readonly #keyValueHeads: number;
  /** a of each head (layers, keyValueHeads), up to a common factor; NaN until a block has shown it. */
  readonly #errors: Float64Array;
  /** The errors as they were when the cache had `length` keys: before those of the tokens that came then. */
  #before: { length: number; errors: Float64Array };
  /** Position behind the last query that has shown an error. */
  #end = 0;

  constructor(layers: number, keyValueHeads: number) {
    this.#keyValueHeads = keyValueHeads;
    this.#errors = new Float64Array(layers * keyValueHeads).fill(Number.NaN);
    this.#before = { length: 0, errors: this.#errors.slice() };
  }

  /** A copy of the errors of the heads so far (layers, keyValueHeads); NaN where none has been shown. */
  get errors(): Float64Array {
    return this.#errors.slice();
  }

  /** Goes on as one whose heads have shown these errors in a cache of `length` keys. */
  restore(errors: Float64Array, length: number): void {
    this.#errors.set(errors);
    this.#before = { length, errors: this.#errors.slice() };
    this.#end = length;
  }

  /** One that has learned as much, and goes on by itself. */
  fork(): HeadBudgetAllocator {
    const fork = new HeadBudgetAllocator(this.#errors.length / this.#keyValueHeads, this.#keyValueHeads);
    fork.#errors.set(this.#errors);
    fork.#before = this.#before;
    fork.#end = this.#end;
    return fork;
  }

  /**
   * The factor by which each key-value head of a layer multiplies its budget. It is 1 on average over all layers, but
   * for its limits, and 1 everywhere until every head has shown its error.
   */
  allocate(layer: number): number[] {
    let sum = 0;
    for (const error of this.#errors) sum += neymanShare(error);
    const mean = sum / this.#errors.length;
    return Array.from({ length: this.#keyValueHeads }, (_, head) => {
      const share = neymanShare(this.#errors[layer * this.#keyValueHeads + head] as number) / mean;
      return mean > 0 ? Math.min(MAX_BUDGET_FACTOR, Math.max(MIN_BUDGET_FACTOR, share)) : 1;
    });
  }

  /**
   * Learns from the errors of a job's blocks; from none of them where one drew no sample. `cacheLength` is the number of
   * keys that the cache holds, without those of the queries.
   */
  update(
    { layer, n, blockErrors, budgetFactors }: BlocksOfLayer,
    tasks: number,
    jobNumbers: Float32Array,
    cacheLength: number,
  ): void {
    if (cacheLength !== this.#before.length) this.#before = { length: cacheLength, errors: this.#errors.slice() };
    this.#end = n;
    const squaredErrors = new Float64Array(this.#keyValueHeads);
    let squaredOutputs = 0;
    for (let task = 0; task < tasks; task++) {
      const at = blockErrors / 4 + task * BLOCK_ERROR_NUMBERS;
      const squaredOutput = jobNumbers[at + 1] as number;
      if (squaredOutput === 0) return;
      squaredOutputs += squaredOutput;
      squaredErrors[task % this.#keyValueHeads] =
        (squaredErrors[task % this.#keyValueHeads] as number) + (jobNumbers[at] as number);
    }
    for (let head = 0; head < this.#keyValueHeads; head++) {
      const error =
        ((squaredErrors[head] as number) / squaredOutputs) * (budgetFactors[head] as number) ** ERROR_EXPONENT;
      const at = layer * this.#keyValueHeads + head;
      const previous = this.#errors[at] as number;
      this.#errors[at] = Number.isNaN(previous) ? error : previous + NEWEST_WEIGHT * (error - previous);
    }
  }

  /**
   * Forgets what the tokens from `length` on have shown, where these are the last that came, so that reading them again
   * comes to the same; cut further back, it forgets all errors, for what follows is another prompt.
   */
  truncate(length: number): void {
    if (length >= this.#end) return;
    if (length === this.#before.length) this.#errors.set(this.#before.errors);
    else this.#errors.fill(Number.NaN);
    this.#before = { length, errors: this.#errors.slice() };
    this.#end = length;
  }
}

const neymanShare = (error: number): number => error ** (1 / (1 + ERROR_EXPONENT));
