/**
 * Every number of the sieve that was chosen, with the measurement that chose it where there is one. To change one, or
 * to add one, touch this file alone: kernels are handed what they need of it in a `SieveStep`, and constants of
 * formats, which TypeScript and AssemblyScript share, are those of `kernels/constants.ts`.
 */
/** The room that every workspace has for means of queries says how many there are at most. */
export { BLOCK_FIT_KEYS, MAX_MEAN_QUERIES } from '../group/workspace.ts';
/** Kept by every selector. */
export { KEPT_RECENT_KEYS, SINK_KEYS } from '../selectors/selector.ts';

// The scan.

/**
 * A head is scanned by its basis where the error of the scan's scores, on the text of the calibration, is at most this
 * fraction of that by signs.
 */
export const MAX_BASIS_ERROR_RATIO = 0.9;

// The sample of one position.

/** Keys drawn for each key of the budget, which is the maximum of keys attended exactly. */
export const SAMPLE_KEYS_PER_BUDGET_KEY = 3;
/** Keys drawn at least, beside those that are always included. */
export const MIN_DRAWN_KEYS = 128;
/**
 * Tempering: a key is drawn in proportion to its estimated share to this power. Signs are noisy, and an underestimate
 * of 2 nats then costs 1.5 in probability only.
 */
export const PROPOSAL_EXPONENT = 0.75;
/** Cap on a key's importance weight, relative to the weight at which keys are drawn with certainty. */
export const MAX_WEIGHT_RATIO = 4;
/**
 * A sampled key is attended exactly if its share of the sum is at least this / (keys of the sample), or less where 4-bit codes
 * are so far off that its error would be that of such a key all the same.
 */
export const MIN_EXACT_SHARE = 8;
/** Relative error of a quantized key's part in the output, by its 4-bit score and value, where that share is right. */
export const USUAL_QUANTIZED_ERROR = 0.2;

/**
 * A group is in doubt where rounding to 4 bits moves its scores by more than this (root mean square, in nats): signs move
 * them by six times as much. Heads of Gemma 3 and of Qwen 2.5 above it had output errors of .12 to .26 from samples, those
 * below it half; in the first layer of Qwen 2.5, whose keys have biases in the hundreds, it is 2 to 9, and errors were .38.
 * Peaked heads have large scores, and large roundings of them, but little that rests on what was rounded.
 */
export const MAX_SCORE_ROUNDING = 0.4;
/**
 * A group in doubt is drawn again where a row of it says that its output may be off by more than this, relatively. At 8,000 tokens
 * the KL of Qwen 2.5 0.5B is .0056 with .1 and with .3, .0074 with .6, .065 with none; but each group that is drawn again costs as
 * much as reading all of its keys in heads of 64 dimensions, and with .1 that was a third of them.
 */
export const MAX_ERROR_IN_DOUBT = 0.6;

// The second draw of a group in doubt, by 4-bit scores of all keys.

/**
 * Its keys for each key of the budget, all attended exactly. In the full layers of Gemma 3 270M, at 8,000 tokens, errors with 4
 * were .01 to .14, where those of the first draw were .1 to 4 by their estimates; with 2 and the thresholds that stand here the
 * KL of the model is .006, of Qwen 2.5 0.5B .007, of twice as many keys .0008 and .006.
 */
export const FINER_KEYS_PER_BUDGET_KEY = 2;
/**
 * A larger fraction of the keys costs more than it saves. Of 8,000 keys a sample of a sixth takes .9 of the time of full attention
 * in heads of 256 dimensions, and 1.2 of it in heads of 64; more keys favour it.
 */
export const MAX_FINER_FRACTION = 0.25;
/** Where rounding moves scores by more than this, in nats, 4 bits tell too little for a draw. */
export const MAX_FINER_ROUNDING = 2;
/** A group that was drawn again reads every key where a row says that its output may be off by more than this, relatively. */
export const MAX_FINER_ERROR = 0.3;

// Budgets of tail mass: samples grow until what is not attended exactly has little enough mass.

/** Keys of the first sample's budget. */
export const MIN_MASS_BUDGET = 64;
/** Factor from one budget to the next. */
export const SAMPLE_GROWTH = 2;

// The sample that a block of positions shares.

/** Keys drawn for each key of the budget, on average over the heads. */
export const BLOCK_SAMPLE_KEYS_PER_BUDGET_KEY = 3.5;
/** Keys before the block that are attended in full, at least. */
export const BLOCK_RECENT_KEYS = 128;
/** How many of the BLOCK_FIT_KEYS stand for the keys that were not drawn. */
export const BLOCK_UNDRAWN_SAMPLE_KEYS = 16;
/** A sample of a larger fraction of the keys costs more than it saves: the block attends in full. */
export const MAX_BLOCK_SAMPLE_FRACTION = 0.75;

// The budget of a prompt, divided over its heads.

/**
 * p of squared error = a / keys^p. It is 1 where all keys are drawn alike; but the heaviest are drawn with certainty,
 * the more of them the larger the sample (measured on heads of SmolLM2: 1.6).
 */
export const ERROR_EXPONENT = 1.5;
/** Limits of a head's factor: what it needs on the next tokens is not known. */
export const [MIN_BUDGET_FACTOR, MAX_BUDGET_FACTOR] = [1 / 8, 4];
/** Weight of the newest blocks in the running estimate of a head's a. */
export const NEWEST_WEIGHT = 0.5;

// A position that several threads take in parts.

/** Keys that a part of its own needs, at least. */
export const MIN_PART_KEYS = 1024;
/** What every part repeats, and what merging costs, as a fraction of a step. */
export const PART_OVERHEAD = 0.15;
/** Steps whose sample is a larger fraction of the keys are not split. */
export const MAX_SPLIT_SAMPLE_FRACTION = 0.5;
/** Offset of the seed from one part to the next: what is not drawn in one part says nothing about another. */
export const PART_SEED_STRIDE = 4099;

// The error estimate.

/**
 * Root mean square error of a 4-bit row, relative to its norm. A quantization step is 1/8 of the largest number, which
 * in 64 rotated and so nearly normal dimensions is about 2.4 standard deviations, and rounding leaves 1 / sqrt(12) of a
 * step. Scores and values both have it.
 */
export const INT4_ROUNDING_ERROR = (2.4 / 8 / Math.sqrt(12)) * Math.SQRT2;
/**
 * Factor of an estimated squared error: the squares that a sample adds up to spread about their mean, and an error above
 * twice its estimate should be rare.
 */
export const ERROR_SPREAD = 1.6;
/** The same factor for the half-samples of a block, which count its keys as if none were drawn for sure. */
export const BLOCK_ERROR_SPREAD = 1.5;
/**
 * What the keys that were not drawn are expected to add to the squared norm of the exact output, as a fraction of what they add to
 * the error: rather too little than too much.
 */
export const UNDRAWN_NORM_FACTOR = 0.75;
/** An output is at most this many times as long as the exact one, as far as an estimate says: noise is not known better. */
export const MAX_NOISE_RATIO = 4;
/** Relative error of the outputs of a block by the rounding of its weights and values: see `attendGathered`. */
export const BLOCK_ROUNDING_ERROR = 2 ** -11;
