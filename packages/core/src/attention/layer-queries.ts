/** Queries of one layer, and the checks on them. */
import type { KvCache } from '../cache/kv-cache.ts';
import { invariant } from '../errors.ts';

/** Consecutive queries of one layer. */
export interface LayerQueries {
  layer: number;
  /** Position of the first query. The cache has the keys of all queries, committed or not. */
  position: number;
  /** Queries after RoPE, not scaled: (count, heads, headDim). */
  queries: Float32Array;
}

/** Scores and sums stay below this, half the range of float32. */
const MAX_FINITE_SUM = 2 ** 127;

/** Throws `invalid-argument` where queries of `heads` heads do not fit the cache, and as `checkRange` does. */
export function checkQueries({ layer, position, queries }: LayerQueries, cache: KvCache, heads: number): void {
  cache.assertAlive();
  const { headDim, layers } = cache.shape;
  const count = queries.length / (heads * headDim);
  const areIntegers = [count, layer, position].every(Number.isSafeInteger);
  invariant(areIntegers && count > 0 && layer >= 0 && layer < layers && position >= 0, () => ({
    code: 'invalid-argument',
    problem: `Queries must be (count, ${heads}, ${headDim}), of one of ${layers} layers.`,
    found: `layer ${layer}, position ${position}, ${queries.length} numbers`,
    remedy: 'Pass at least one query, whole.',
  }));
  const { reserved } = cache;
  invariant(position + count <= reserved, () => ({
    code: 'invalid-argument',
    problem: 'The cache does not have the keys of all queries.',
    found: `keys before ${reserved}, queries up to ${position + count - 1}`,
    remedy: 'Reserve and write the keys of the queries before attending.',
  }));
  checkRange(layer, position + count, queries, cache);
}

/** Throws `invalid-argument` unless the array for the outputs is as long as the queries. */
export function checkOutputs(outputs: Float32Array, queries: Float32Array): void {
  invariant(outputs.length === queries.length, () => ({
    code: 'invalid-argument',
    problem: 'The array for the outputs must be as long as the queries.',
    found: `${outputs.length} numbers for ${queries.length}`,
    remedy: 'Pass one of that length, or none.',
  }));
}

/** Throws `invalid-argument` unless the array for the errors of rows has room for one each, where there is one. */
export function checkRowErrors(rowErrors: Float32Array | undefined, rows: number): void {
  invariant(rowErrors === undefined || rowErrors.length === rows, () => ({
    code: 'invalid-argument',
    problem: 'The array for the errors of rows must have one number for each.',
    found: `${rowErrors?.length} numbers for ${rows}`,
    remedy: 'Pass one of that length, or none.',
  }));
}

/** Throws `not-a-number` unless all scores of keys before n, and all sums of their values, are finite in float32. */
export function checkRange(layer: number, n: number, queries: Float32Array, cache: KvCache): void {
  const maxQuery = maxMagnitude(queries);
  for (let head = 0; head < cache.shape.keyValueHeads; head++) {
    const { keys, values } = cache.norms(layer, head);
    // Scores are divided by sqrt(d), so ||q|| <= sqrt(d) max |q| makes them at most max |q| ||k||.
    invariant(maxQuery * keys < MAX_FINITE_SUM && n * values < MAX_FINITE_SUM, () => ({
      code: 'not-a-number',
      problem: `The attention of layer ${layer} has or would give numbers that are not finite in float32.`,
      found: `queries up to ${maxQuery}, keys of norm ${keys}, values of norm ${values}`,
      remedy: "Check the model's weights and activations for NaN or overflow.",
    }));
  }
}

/** Largest |x|; NaN where there is one. By index: this runs over every query, and an iterator is several times slower. */
function maxMagnitude(numbers: Float32Array): number {
  let max = 0;
  for (let i = 0; i < numbers.length; i++) {
    const magnitude = Math.abs(numbers[i] as number);
    // So that a NaN is taken too.
    if (!(magnitude <= max)) max = magnitude;
    if (Number.isNaN(magnitude)) break;
  }
  return max;
}
