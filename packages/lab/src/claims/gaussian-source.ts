/**
 * Rows of attention as the theory has them (arXiv 2404.02690): tokens whose entries are independent standard normal
 * numbers, and weights whose norm is bounded. Queries and keys are products of tokens with matrices of entries of
 * variance 1 / d, so that scores have a spread of about 1 nat; larger weights multiply it.
 *
 * Of the values there are two kinds: `of the tokens`, which the theory has, with an orthogonal matrix, which changes no
 * error; and `independent` of the keys, uniform with variance 1.
 */
import { createRandom, normals, type Random } from '../numerics/random.ts';
import { yieldToEventLoop } from '../work.ts';
import { ladder } from './budgets.ts';
import { descending, type Measurement, meanMeasurement, measureRow } from './row.ts';
import type { RowsWork, Source } from './source.ts';

export interface GaussianOptions extends RowsWork {
  seed: number;
  /** Keys, ascending: shorter rows are the first keys of longer ones. */
  lengths: number[];
  /** Spreads of the scores in nats. */
  spreads: number[];
  /** Repetitions, with tokens and weights of their own, and queries of each. */
  contexts: number;
  queries: number;
}

export const VALUE_KINDS = ['independent', 'of the tokens'] as const;
export type ValueKind = (typeof VALUE_KINDS)[number];

/** Dimension of a head, and of tokens. */
const D = 64;

export const gaussianName = (spread: number, kind: ValueKind): string => `spread ${spread}, values ${kind}`;

/** A source for each spread and kind of values. */
export async function gaussianSources(options: GaussianOptions): Promise<Source[]> {
  const { seed, lengths, spreads, contexts, queries, signal, onProgress } = options;
  const random = createRandom(seed);
  const sources = spreads.flatMap((spread) =>
    VALUE_KINDS.map((kind) => ({
      spread,
      kind,
      source: { family: 'gaussian', name: gaussianName(spread, kind), lengths, repetitions: [] } as Source,
    })),
  );
  const n = lengths.at(-1) as number;
  for (let context = 0; context < contexts; context++) {
    const tokens = normals(random, n * D);
    const independent = Float32Array.from({ length: n * D }, () => Math.sqrt(12) * (random.uniform() - 0.5));
    const [queryWeights, keyWeights] = [weights(random), weights(random)];
    const rows = sources.map(() => lengths.map((): Measurement[] => []));
    for (let query = 0; query < queries; query++) {
      await yieldToEventLoop(signal);
      const direction = times(transposed(keyWeights), times(queryWeights, normals(random, D)));
      const scores = scoresOf(tokens, direction);
      const order = descending(scores);
      for (const [at, length] of lengths.entries()) {
        const row = { scores, order: order.filter((key) => key < length), d: D };
        const ks = ladder(length);
        for (const [i, { spread, kind }] of sources.entries()) {
          const values = kind === 'independent' ? independent : tokens;
          rows[i]?.[at]?.push(measureRow({ ...row, scale: spread, values }, ks));
        }
      }
      onProgress(context * queries + query + 1, contexts * queries);
    }
    for (const [i, { source }] of sources.entries()) source.repetitions.push((rows[i] ?? []).map(meanMeasurement));
  }
  return sources.map(({ source }) => source);
}

/** (D, D), entries of variance 1 / D */
const weights = (random: Random): Float32Array => normals(random, D * D).map((x) => x / Math.sqrt(D));

const transposed = (matrix: Float32Array): Float32Array =>
  matrix.map((_, i) => matrix[(i % D) * D + Math.floor(i / D)] as number);

function times(matrix: Float32Array, vector: Float32Array): Float32Array {
  return vector.map((_, row) => {
    let sum = 0;
    for (let i = 0; i < D; i++) sum += (matrix[row * D + i] as number) * (vector[i] as number);
    return sum;
  });
}

/** q . k / sqrt(d), where the key of token x is W x, and so q . k = (W' q) . x. */
function scoresOf(tokens: Float32Array, direction: Float32Array): Float64Array {
  const scores = new Float64Array(tokens.length / D);
  for (let key = 0; key < scores.length; key++) {
    let sum = 0;
    for (let i = 0; i < D; i++) sum += (direction[i] as number) * (tokens[key * D + i] as number);
    scores[key] = sum / Math.sqrt(D);
  }
  return scores;
}
