import { createAttention, policyEncodings } from 'keysieve';
import { describe, expect, it } from 'vitest';
import { type Build, type BuildStep, compareBuilds } from './compare-builds.ts';

const SHAPE = { layers: 2, heads: 4, keyValueHeads: 2, headDim: 16, threads: 1 };
const policy = { policy: 'sieve', budget: 'fixed:32' };

/** The core that is there, its outputs times `scale`. */
const buildOf =
  (scale = 1, steps: BuildStep[] = []): Build =>
  async (options) => {
    const attention = await createAttention({ ...options, encodings: policyEncodings(policy) });
    attention.cache.reserve(options.capacity);
    return {
      fill(layer, keys, values) {
        attention.cache.write(layer, 0, keys, values);
        if (layer === options.layers - 1) attention.cache.commit(options.capacity);
      },
      attend({ isPrefill, ...step }) {
        steps.push({ ...step, isPrefill });
        attention.attend({ ...step, policy, shareSamples: isPrefill });
        step.outputs.set(step.outputs.map((x) => x * scale));
      },
      [Symbol.asyncDispose]: () => attention[Symbol.asyncDispose](),
    };
  };

const options = {
  shape: SHAPE,
  lengths: [128, 256],
  rounds: { decode: 3, prefill: 2 },
  blockQueries: 32,
  signal: new AbortController().signal,
  onProgress() {},
};

describe('two builds', () => {
  it('are compared on the same steps, at every length, the first tokens once', async () => {
    const [before, after]: BuildStep[][] = [[], []];
    const rows = await compareBuilds({
      ...options,
      before: buildOf(1, before),
      after: buildOf(1, after),
    });
    expect(rows.map(({ what, keys }) => `${what} ${keys}`)).toEqual([
      'first 128',
      'decode 128',
      'prefill 128',
      'decode 256',
      'prefill 256',
    ]);
    for (const { difference, ratio } of rows) {
      expect(difference).toBe(0);
      expect(ratio.wall.median).toBeGreaterThan(0);
    }
    const inputs = (steps: BuildStep[] = []) => steps.map(({ outputs: _, ...step }) => step);
    expect(inputs(after)).toEqual(inputs(before));
  });

  it('say by how much their outputs differ', async () => {
    const rows = await compareBuilds({ ...options, lengths: [128], before: buildOf(), after: buildOf(1.5) });
    for (const { difference } of rows) expect(difference).toBeCloseTo(0.5, 5);
  });

  it('stop when they are told to', async () => {
    const stopped = { ...options, signal: AbortSignal.abort() };
    await expect(compareBuilds({ ...stopped, before: buildOf(), after: buildOf() })).rejects.toThrow();
  });
});
