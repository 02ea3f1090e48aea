/** How sure a mean over tokens is. */
import { createRandom } from '../numerics/random.ts';
import { mean, quantile } from './statistics.ts';

/** Bounds that the true mean is between, with a probability of .95. */
export type Interval = [low: number, high: number];

const RESAMPLES = 2000;

/**
 * The interval of a mean, by the bootstrap: means of as many numbers, drawn from them with replacement, again and again
 * (percentile method; Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13). The same for the same seed.
 */
export function meanInterval(numbers: readonly number[], seed: number): Interval {
  const random = createRandom(seed);
  const means = Array.from({ length: RESAMPLES }, () => {
    let sum = 0;
    for (let i = 0; i < numbers.length; i++) sum += numbers[random.below(numbers.length)] as number;
    return sum / numbers.length;
  });
  // The mean of one number, or of equal ones, is as it is.
  if (numbers.every((x) => x === numbers[0])) return [mean(numbers), mean(numbers)];
  return [quantile(means, 0.025), quantile(means, 0.975)];
}
