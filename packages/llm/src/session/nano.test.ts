/** The embedded model, as its trainer has it: goldens that models/nano/goldens.py recorded. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel, type Model } from './load-model.ts';

interface Golden {
  name: string;
  text: string;
  tokens: number[];
  /** Positions whose logits were recorded: (positions, vocabulary). */
  positions: number[];
  logits: number[][];
  argmax: number[];
  /** Largest difference of the trainer's float32 logits from its float64 ones. */
  float32Error: number;
}

const nano = new URL('../../../../models/nano/', import.meta.url);

describe('the embedded model', () => {
  let model: Model;
  let goldens: { sha256: string; cases: Golden[] };

  beforeAll(async () => {
    goldens = JSON.parse(await readFile(new URL('goldens.json', nano), 'utf8'));
    model = await loadModel('nano', { precision: 'fp32', threads: 2 });
  });
  afterAll(() => model.dispose());

  it('has the weights that the goldens were recorded from', async () => {
    const bytes = await readFile(new URL('nano.gguf', nano));
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(goldens.sha256);
    expect(await model.hash()).toBe(goldens.sha256);
  });

  it('reads text as its bytes', () => {
    for (const { text, tokens } of goldens.cases) expect([...model.tokenizer.encode(text)]).toEqual(tokens);
  });

  it('has the logits of its trainer', async () => {
    const { vocabularySize } = model.config;
    for (const { name, tokens, positions, logits: expected, argmax, float32Error } of goldens.cases) {
      let compared = 0;
      await using session = await model.createSession({ attention: { policy: 'dense' } });
      for await (const { position, logits } of session.evaluate(Int32Array.from(tokens))) {
        for (const [i, golden] of positions.entries()) {
          const row = golden - position;
          if (row < 0 || row >= logits.length / vocabularySize) continue;
          compared++;
          const values = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
          const difference = values.reduce((max, x, j) => Math.max(max, Math.abs(x - (expected[i]?.[j] as number))), 0);
          // Two float32 computations, each as far from the true logits as the trainer's, and some for another order.
          expect(difference, `${name} at ${golden}`).toBeLessThan(10 * float32Error);
          expect(values.indexOf(Math.max(...values))).toBe(argmax[i]);
        }
      }
      expect(compared).toBe(positions.length);
    }
  });
});
