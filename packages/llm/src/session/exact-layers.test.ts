import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { naiveAttention } from '../../test/naive-attention.ts';
import { createRandom } from '../../test/random.ts';
import type { ModelConfig, Projections } from '../model/index.ts';
import { createExactLayers, type ExactLayers } from './exact-layers.ts';

const window = 6;
const shape = { heads: 2, keyValueHeads: 2, headDim: 8 };
const config = { ...shape, layerAttention: [{ window }, {}, { softCap: 3 }] } as unknown as ModelConfig;

const random = createRandom(5);
const projections = (count: number): Projections => {
  const rows = () => Float32Array.from({ length: count * 16 }, () => 2 * random.signed());
  return { q: rows(), k: rows(), v: rows() };
};

describe('layers that are attended exactly', () => {
  let layers: ExactLayers;
  beforeAll(async () => {
    layers = await createExactLayers(config, 1);
  });
  afterAll(() => layers.release());

  it('are those with a window, a cap or sinks; the others are in the paged cache', () => {
    expect([0, 1, 2].map((layer) => layers.pagedLayer(layer))).toEqual([undefined, 0, undefined]);
    expect(layers.pagedLayers).toBe(1);
  });

  it('keep no more than the window and some room, and have the outputs of a plain attention', async () => {
    const expected = naiveAttention(config);
    layers.truncate(0);
    let position = 0;
    for (const count of [3, 1, 400, 700, 1, 512, 1, 1]) {
      for (const layer of [0, 2]) {
        const rows = projections(count);
        const { outputs, report } = await layers.attend(layer, position, rows);
        const reference = (await expected(layer, rows)) as Float32Array;
        for (const [i, value] of outputs.entries()) expect(value).toBeCloseTo(reference[i] as number, 4);
        expect(report).toMatchObject({ rows: 2 * count, rowsFull: 2 * count, certificate: 'certified' });
        expect(report.keysExact).toBe(report.keys);
      }
      position += count;
      layers.commit(position);
    }
    const bytesOfWindow = 2 * (window + 1024 + 700) * 16 * 4;
    const bytesOfAll = 2 * 2 * (position + 700) * 16 * 4;
    expect(layers.bytes).toBeLessThan(bytesOfWindow + bytesOfAll);
  });

  it('can be cut to what the window still sees, or to nothing', async () => {
    expect(layers.minLength).toBeGreaterThan(0);
    expect(() => layers.requireLength(layers.minLength - 1)).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    );
    layers.requireLength(layers.minLength);
    layers.requireLength(0);
    layers.truncate(0);
    expect(layers.minLength).toBe(0);
  });

  it('are what they were after a pass that was not committed', async () => {
    layers.truncate(0);
    const first = projections(20);
    await layers.attend(0, 0, first);
    layers.commit(20);
    const [failed, next] = [projections(30), projections(1)];
    await layers.attend(0, 20, failed);
    layers.truncate(20);
    const { outputs } = await layers.attend(0, 20, next);
    const expected = naiveAttention(config);
    expected(0, first);
    const reference = (await expected(0, next)) as Float32Array;
    for (const [i, value] of outputs.entries()) expect(value).toBeCloseTo(reference[i] as number, 5);
  });

  it('are copied by a fork, which goes on by itself', async () => {
    layers.truncate(0);
    const [first, ours, theirs] = [projections(20), projections(3), projections(3)];
    for (const layer of [0, 2]) await layers.attend(layer, 0, first);
    layers.commit(20);
    const fork = layers.fork();
    for (const [each, next] of [
      [layers, ours],
      [fork, theirs],
    ] as const) {
      const expected = naiveAttention(config);
      expected(2, first);
      const reference = (await expected(2, next)) as Float32Array;
      const { outputs } = await each.attend(2, 20, next);
      for (const [i, value] of outputs.entries()) expect(value).toBeCloseTo(reference[i] as number, 5);
    }
    await fork.release();
    expect((await layers.attend(2, 20, ours)).outputs).toHaveLength(3 * 16);
  });
});
