/** The whole model, our attention included, against reference logits of the same GGUF file (../shared/goldens). */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSafetensors, type Safetensors } from '../../test/safetensors.ts';
import { sharedFile } from '../../test/shared.ts';
import { loadModel, type Model } from './load-model.ts';

const MODEL = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');
const PROMPTS = sharedFile('goldens/smollm2-135m/prompts.json');
const LOGITS = sharedFile('goldens/smollm2-135m/logits.safetensors');
const TEXT = sharedFile('texts/war-and-peace.txt');

/** Tokens of the text after which the reference has logits. */
const GOLDEN_POSITIONS = [0, 511, 2047, 4094];

interface Golden {
  prompt: string;
  ids: number[];
  greedy: number[];
  greedy_text: string;
}

describe.skipIf(!MODEL || !PROMPTS || !LOGITS || !TEXT)('SmolLM2-135M', () => {
  let model: Model;
  let prompts: Golden[];
  let goldens: Safetensors;

  beforeAll(async () => {
    model = await loadModel(MODEL as string, { precision: 'fp32', threads: 2 });
    prompts = JSON.parse(await readFile(PROMPTS as string, 'utf8')).prompts;
    goldens = await openSafetensors(LOGITS as string);
  });
  afterAll(() => model.dispose());

  it('continues every prompt as the reference does', async () => {
    await using session = await model.createSession({ attention: { policy: 'dense' } });
    let continued = 0;
    for (const [index, { prompt, ids, greedy }] of prompts.entries()) {
      expect([...model.tokenizer.encode(prompt)]).toEqual(ids);
      const { tokens } = await session.generate(prompt, { maxTokens: greedy.length, special: true }).result;
      const best = argmax(goldens.f32(`logits${index}`));
      expect(tokens[0]).toBe(best);
      // A continuation that does not begin with the likeliest token of its own logits was made some other way.
      if (greedy[0] !== best) continue;
      continued++;
      const end = greedy.findIndex((token) => model.tokenizer.endOfGeneration.has(token));
      expect(tokens).toEqual(end === -1 ? greedy : greedy.slice(0, end));
    }
    expect(continued).toBeGreaterThanOrEqual(3);
  });

  it('has the logits of the reference after every prompt', async () => {
    for (const [index, { ids }] of prompts.entries()) {
      await using session = await model.createSession({ attention: { policy: 'dense' } });
      for await (const { logits } of session.evaluate(Int32Array.from(ids))) {
        const last = logits.subarray(logits.length - model.config.vocabularySize);
        expect(maxDifference(last, goldens.f32(`logits${index}`))).toBeLessThan(2e-3);
      }
    }
  });

  // The reference keeps keys and values in float32; with float16 the logits differ by the rounding of the cache.
  it.each([
    { cachePrecision: 'f32', tolerance: 2e-3 },
    { cachePrecision: 'f16', tolerance: Number.POSITIVE_INFINITY },
  ] as const)(
    'has the nll and the logits of 4,096 tokens, cache in $cachePrecision',
    async ({ cachePrecision, tolerance }) => {
      const ids = goldens.i32('ids');
      const expected = goldens.f32('nll');
      await using session = await model.createSession({ attention: { policy: 'dense' }, cachePrecision });
      const nll: number[] = [];
      const { vocabularySize } = model.config;
      for await (const { position, logits } of session.evaluate(ids)) {
        for (let row = 0; row < logits.length / vocabularySize; row++) {
          const values = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
          const next = ids[position + row + 1];
          if (next !== undefined) nll.push(logSumExp(values) - (values[next] as number));
          if (GOLDEN_POSITIONS.includes(position + row)) {
            const golden = goldens.f32(`text_logits${position + row}`);
            expect(maxDifference(values, golden)).toBeLessThan(tolerance);
          }
        }
      }
      expect(nll).toHaveLength(expected.length);
      expect(Math.abs(mean(nll) - mean(expected))).toBeLessThan(1e-3);
    },
  );
});

const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;

function logSumExp(row: Float32Array): number {
  const max = row.reduce((a, b) => Math.max(a, b));
  return max + Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0));
}

const argmax = (row: Float32Array): number => row.reduce((best, x, i) => (x > (row[best] as number) ? i : best), 0);

const maxDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((max, x, i) => Math.max(max, Math.abs(x - (b[i] as number))), 0);
