/**
 * Attention of given weights, and which keys an attention has read: for cases that are computed by hand. Each of at
 * most eight kinds of query looks at a dimension of its own, where the keys have the logarithms of their weights.
 */
import { type Attention, createAttention } from '../src/attention/attention.ts';
import type { PolicySpec } from '../src/policies/policy.ts';

const HEAD_DIM = 8;

export interface WeightsBench {
  readonly attention: Attention;
  /** Queries of these kinds, one a position, head by head: `null` looks at all keys alike. */
  queries(...kinds: (readonly (number | null)[])[]): Float32Array;
  /** The positions that a query of all keys alike reads at a position, in each head. */
  readBy(position: number, policy: PolicySpec): number[][];
}

/**
 * An attention over keys of which kind t of query finds weights[head][t][j], not normalised; what is not given is 1.
 * One query head for each key-value head.
 */
export async function createWeightsBench(
  keys: number,
  weights: readonly (readonly (readonly number[])[])[],
): Promise<WeightsBench> {
  const heads = weights.length;
  const shape = {
    layers: 1,
    keyValueHeads: heads,
    heads,
    headDim: HEAD_DIM,
    capacity: keys,
    precision: 'f32',
  } as const;
  const attention = await createAttention(shape);
  const [rows, values] = [new Float32Array(keys * heads * HEAD_DIM), new Float32Array(keys * heads * HEAD_DIM)];
  for (const [head, kinds] of weights.entries()) {
    for (let j = 0; j < keys; j++) {
      const at = (j * heads + head) * HEAD_DIM;
      for (const [kind, queryKinds] of kinds.entries()) rows[at + kind] = Math.log(queryKinds[j] ?? 1);
      // A bit for each key: with equal weights an output says which of them it is the mean of.
      values[at + (j % HEAD_DIM)] = 2 ** Math.floor(j / HEAD_DIM);
    }
  }
  attention.cache.reserve(keys);
  attention.cache.write(0, 0, rows, values);
  attention.cache.commit(keys);

  const queries = (...kinds: (readonly (number | null)[])[]) => {
    const numbers = new Float32Array(kinds.length * heads * HEAD_DIM);
    for (const [i, queryKinds] of kinds.entries()) {
      for (const [head, kind] of queryKinds.entries()) {
        if (kind !== null) numbers[(i * heads + head) * HEAD_DIM + kind] = Math.sqrt(HEAD_DIM);
      }
    }
    return numbers;
  };
  return {
    attention,
    queries,
    readBy(position, policy) {
      const alike = queries(weights.map(() => null));
      const { outputs, report } = attention.attend({ layer: 0, position, queries: alike, policy });
      const count = report.keysExact / heads;
      return weights.map((_, head) => {
        const sums = Array.from(outputs.subarray(head * HEAD_DIM, (head + 1) * HEAD_DIM), (x) => Math.round(x * count));
        const bits = (j: number) => Math.floor((sums[j % HEAD_DIM] as number) / 2 ** Math.floor(j / HEAD_DIM)) % 2;
        return Array.from({ length: position + 1 }, (_, j) => j).filter((j) => bits(j) === 1);
      });
    },
  };
}
