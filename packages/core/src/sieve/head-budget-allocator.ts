/**
 * How the budget of a prompt is divided over its heads: by the errors that they have shown on the tokens before.
 *
 * Some heads need many keys and some need few: with one budget for all, the errors of a few make up that of the model.
 * Where the squared error of a head with a sample of K keys is a / K^p, of all divisions of a total the one with the
 * least sum of squared errors has K in proportion to a^(1 / (1 + p)), as Neyman (1934) has it for p = 1. What a is comes
 * with every block at no extra reads: the error that its halves tell. Errors count relative to the outputs of all heads
 * of the layer, with which they are added up.
 */
import type { Job } from '../attention/job.ts';

/**
 * p: 1 where keys are drawn one like the other; but the heaviest are drawn for certain, the more of them the larger the
 * sample (measured on heads of SmolLM2: 1.6).
 */
const ERROR_EXPONENT = 1.5;
/** No head gets less or more than that part of the budget: what it needs on the next tokens is not known. */
const [MIN_BUDGET_FACTOR, MAX_BUDGET_FACTOR] = [1 / 8, 4];
/** What the newest tokens have shown counts as much as all before. */
const NEWEST_WEIGHT = 0.5;

/** Numbers that a block leaves for `learn`: its squared error, and the squared norm of its outputs, 0 where it drew no sample. */
export const BLOCK_ERROR_NUMBERS = 2;

export class HeadBudgetAllocator {
  readonly #keyValueHeads: number;
  /** a of each head (layers, keyValueHeads), up to a factor; NaN where nothing is known. */
  readonly #errors: Float64Array;

  constructor(layers: number, keyValueHeads: number) {
    this.#keyValueHeads = keyValueHeads;
    this.#errors = new Float64Array(layers * keyValueHeads).fill(Number.NaN);
  }

  /**
   * What part of the budget each key-value head of a layer gets: 1 in the mean over all layers, but for the limits, and
   * everywhere as long as not all heads are known.
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

  /** Takes in what the blocks of a job, all of which have drawn samples, have left in the exchange. */
  update(
    { layer, blockErrors, budgetFactors }: Pick<Job, 'layer' | 'blockErrors' | 'budgetFactors'>,
    tasks: number,
    jobNumbers: Float32Array,
  ): void {
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

  /** Forgets all: other tokens come. */
  reset(): void {
    this.#errors.fill(Number.NaN);
  }
}

const neymanShare = (error: number): number => error ** (1 / (1 + ERROR_EXPONENT));
