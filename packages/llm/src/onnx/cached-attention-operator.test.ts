import { describe, expect, it } from 'vitest';
import { naiveAttention } from '../../test/naive-attention.ts';
import { createRandom } from '../../test/random.ts';
import type { LayerAttention, ModelConfig } from '../model/index.ts';
import { createCachedAttentionOperator } from './cached-attention-operator.ts';

const shapes = [
  { heads: 4, keyValueHeads: 2, headDim: 16 },
  { heads: 3, keyValueHeads: 1, headDim: 64 },
];
const kinds: Record<string, LayerAttention> = {
  'all positions': {},
  'a window': { window: 5 },
  'a window of one': { window: 1 },
  'a soft cap': { softCap: 2 },
  'a window and a soft cap': { window: 7, softCap: 1 },
  sinks: { sinks: [1.5, -2, 0.25, 3] },
  'a window and sinks': { window: 6, sinks: [0, 4, -1, 2] },
};

describe.each(shapes)('attention over a cache, %o', (shape) => {
  it.each(Object.keys(kinds))('has the outputs of a plain one with %s', async (kind) => {
    const { heads, keyValueHeads, headDim } = shape;
    const attention = kinds[kind] as LayerAttention;
    const sinks = attention.sinks && Float32Array.from(attention.sinks.slice(0, heads));
    const layer: LayerAttention = { ...attention, ...(sinks && { sinks: [...sinks] }) };
    const expected = naiveAttention({ ...shape, layerAttention: [layer] } as unknown as ModelConfig);
    const operator = await createCachedAttentionOperator({ ...attention, ...shape, sinks: sinks !== undefined }, 1);
    const random = createRandom(11);
    const rows = (count: number, width: number) =>
      Float32Array.from({ length: count * width * headDim }, () => 2 * random.signed());
    const capacity = 40;
    const cache = {
      keys: new Float32Array(keyValueHeads * capacity * headDim),
      values: new Float32Array(keyValueHeads * capacity * headDim),
      capacity,
    };
    let past = 0;
    for (const count of [9, 1, 1, 12, 1]) {
      const [q, k, v] = [rows(count, heads), rows(count, keyValueHeads), rows(count, keyValueHeads)];
      const outputs = await operator.attend(cache, { queries: q, keys: k, values: v, past, sinks });
      const reference = (await expected(0, { q, k, v })) as Float32Array;
      for (const [i, value] of outputs.entries()) expect(value).toBeCloseTo(reference[i] as number, 5);
      past += count;
    }
    await operator.release();
  });
});
