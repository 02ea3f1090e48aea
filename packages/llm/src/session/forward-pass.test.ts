/** Passes for several sessions at once, on the model that comes with the package. */

import { createPolicy } from 'keysieve';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { nanoLocation } from '#platform';
import { openGguf } from '../gguf/index.ts';
import { loadTransformerSegments, type TransformerSegments } from '../model/index.ts';
import { createEngines } from './engines.ts';
import { forwardPass, forwardSequence, type Sequence, type SequenceRows, stepOf } from './forward-pass.ts';
import { createLayerCaches } from './layer-caches.ts';

const DENSE = createPolicy({ policy: 'dense' });
const TEXTS = ['The number of amber fox is 48213. ', 'It is said that ', 'Once upon a time there was a river. '];

describe('a pass for several sessions', () => {
  let segments: TransformerSegments;
  beforeAll(async () => {
    await using gguf = await openGguf(nanoLocation());
    segments = await loadTransformerSegments(gguf, { precision: 'fp32', threads: 2, context: 1024 });
  });
  afterAll(() => segments.dispose());

  let sequences: Sequence[] = [];
  afterEach(async () => {
    for (const { caches } of sequences) await caches.dispose();
    sequences = [];
  });

  async function createSequence(memoryLimit = 2 ** 30): Promise<Sequence> {
    const sizes = { capacity: 1024, threads: 1, precision: 'f32', encodings: [], timed: false, memoryLimit } as const;
    const caches = await createLayerCaches({ config: segments.config, engines: createEngines(), ...sizes });
    const sequence = { caches, attention: caches.primary, tokens: [], tracer: undefined };
    sequences.push(sequence);
    return sequence;
  }

  const rowsOf = (sequence: Sequence, text: string): SequenceRows => ({
    sequence,
    tokens: Int32Array.from(Buffer.from(text)),
    policy: DENSE,
    shareSamples: false,
    logits: 'last',
  });

  const cacheOf = ({ attention }: Sequence) => attention.cache;

  const maxDifference = (a: Float32Array, b: Float32Array) =>
    a.reduce((max, x, i) => Math.max(max, Math.abs(x - (b[i] as number))), 0);

  it('gives each the logits that it has alone, but for the rounding of another number of rows', async () => {
    const together = await Promise.all(TEXTS.map(() => createSequence()));
    const alone = await Promise.all(TEXTS.map(() => createSequence()));
    for (const round of ['', 'a', 'b', 'c']) {
      const texts = TEXTS.map((text) => (round === '' ? text : round));
      const outcomes = await forwardPass(
        segments,
        together.map((sequence, i) => rowsOf(sequence, texts[i] as string)),
      );
      for (const [i, sequence] of alone.entries()) {
        const { logits, report } = await forwardSequence(segments, rowsOf(sequence, texts[i] as string));
        const step = stepOf(outcomes[i] as NonNullable<(typeof outcomes)[number]>);
        expect(maxDifference(step.logits, logits)).toBeLessThan(1e-3);
        expect(step.report).toEqual(report);
        expect(together[i]?.tokens).toEqual(sequence.tokens);
      }
    }
  });

  it('goes on for the others where one fails, which is then as it was before', async () => {
    const good = await createSequence();
    const full = await createSequence(2 ** 16);
    const failing = await createSequence();
    await forwardSequence(segments, rowsOf(failing, 'before'));
    const fault = new Error('not this one');
    const throws = () => {
      throw fault;
    };
    const outcomes = await forwardPass(segments, [
      rowsOf(full, TEXTS[0] as string),
      { ...rowsOf(failing, TEXTS[1] as string), onAttention: throws },
      rowsOf(good, TEXTS[2] as string),
    ]);
    expect(outcomes[0]).toMatchObject({ error: { code: expect.stringMatching(/^cache-/) } });
    expect(outcomes[1]).toEqual({ error: fault });
    expect([full.tokens.length, failing.tokens.length, cacheOf(failing).length]).toEqual([0, 6, 6]);
    const alone = await createSequence();
    const { logits } = await forwardSequence(segments, rowsOf(alone, TEXTS[2] as string));
    const step = stepOf(outcomes[2] as NonNullable<(typeof outcomes)[number]>);
    expect(maxDifference(step.logits, logits)).toBeLessThan(1e-3);
  });

  it('leaves every session as it was where it is aborted', async () => {
    const one = await createSequence();
    const other = await createSequence();
    const controller = new AbortController();
    const abort = () => controller.abort();
    const pass = forwardPass(
      segments,
      [{ ...rowsOf(one, 'abc'), onAttention: abort }, rowsOf(other, 'def')],
      controller.signal,
    );
    await expect(pass).rejects.toMatchObject({ code: 'aborted' });
    for (const sequence of [one, other]) {
      const { length, reserved } = cacheOf(sequence);
      expect([sequence.tokens.length, length, reserved]).toEqual([0, 0, 0]);
    }
  });
});
