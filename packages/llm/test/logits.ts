/**
 * Logits for tests of sampling, and what they are checked against: a full sort and a softmax in double precision.
 */
import fc from 'fast-check';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { mersenne } from 'pure-rand/generator/mersenne';

const logit = fc.oneof(
  fc.float({ min: -40, max: 40, noNaN: true }),
  fc.integer({ min: -2, max: 2 }), // ties
  fc.constant(Number.NEGATIVE_INFINITY),
);
export const logitsOf = (maxLength: number) =>
  fc
    .array(logit, { minLength: 1, maxLength })
    .map((values) => Float32Array.from(values))
    .filter((values) => values.some(Number.isFinite));

/** Falling order with ties by id: the specification that partial selection is checked against. */
export function sorted(logits: Float32Array): number[] {
  const ids = Array.from(logits, (_, id) => id);
  return ids.sort((a, b) =>
    (logits[a] as number) === (logits[b] as number) ? a - b : (logits[b] as number) > (logits[a] as number) ? 1 : -1,
  );
}

export function softmax(logits: readonly number[], temperature = 1): number[] {
  const best = Math.max(...logits);
  const weights = logits.map((each) => Math.exp((each - best) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Reproducible logits of some spread. */
export function gaussianLogits(count: number, spread: number, seed: number): Float32Array {
  const random = mersenne(seed);
  const uniform = () => 1 - uniformFloat64(random);
  return Float32Array.from(
    { length: count },
    () => spread * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}
