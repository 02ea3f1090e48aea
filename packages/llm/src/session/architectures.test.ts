/**
 * Small models of every architecture against llama.cpp: token ids, log-probabilities and greedy answers, from goldens that
 * lie in `../shared`. The files are made here, bit for bit those that the goldens were recorded from.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { sharedFile } from '../../test/shared.ts';
import { TINY_MODELS } from '../../test/tiny-models/models.ts';
import { readCorpus } from '../../test/tiny-models/vocabularies.ts';
import { supportedArchitectures } from '../model/index.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import { loadModel } from './load-model.ts';

interface Golden {
  /** File name of the model. */
  model: string;
  sha256: string;
  context: number;
  prompts: GoldenPrompt[];
}

interface GoldenPrompt {
  text: string;
  ids: number[];
  /** Log-probabilities of each token but the first. */
  logprobs: number[];
  /** The likeliest tokens with their log-probabilities, by position. */
  top: Record<string, [token: number, logProbability: number][]>;
  greedy: number[];
  /** By how much each greedy token is likelier than the next. */
  margin: number[];
}

/** llama.cpp and a float64 reference agree to 2e-6; any feature that is left out gives .04 or more. */
const MAX_KL = 1e-5;
/** Below this either of two tokens may come first. */
const MIN_MARGIN = 1e-3;

const goldens = sharedFile('models/tiny/goldens');
const corpus = sharedFile('models/tiny/tools/corpus.py');
const files = useTestFiles();

describe.skipIf(goldens === undefined || corpus === undefined)('a small model has what llama.cpp gives', () => {
  const names = goldens === undefined ? [] : readdirSync(goldens).map((file) => file.replace('.json', ''));
  const tried = new Set<string>();

  it.each(names)('%s', async (name) => {
    const golden = JSON.parse(readFileSync(join(goldens as string, `${name}.json`), 'utf8')) as Golden;
    const modelName = golden.model.replace('.gguf', '');
    const make = TINY_MODELS[modelName];
    if (make === undefined) throw new Error(`no model ${modelName}`);
    const bytes = make(readCorpus(corpus as string)).write(modelName);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(golden.sha256);

    await using model = await loadModel(await files.save(bytes), {
      precision: 'fp32',
      threads: 1,
      context: golden.context,
      cacheFolder: join(files.folder(), 'cache'),
    });
    tried.add(model.config.architecture);
    await using session = await model.createSession({ attention: { policy: 'dense' } });
    const logitsOf = async (tokens: readonly number[]) => {
      const rows: Float64Array[] = [];
      for await (const { logits } of session.evaluate(Int32Array.from(tokens))) {
        const width = model.config.vocabularySize;
        for (let at = 0; at < logits.length; at += width) rows.push(logSoftmax(logits.subarray(at, at + width)));
      }
      return rows;
    };
    let [kl, rows] = [0, 0];
    for (const prompt of golden.prompts) {
      expect(idsOf(model.tokenizer, prompt.text)).toEqual(prompt.ids);
      session.truncate(0);
      const logProbabilities = await logitsOf(prompt.ids);
      for (const [row, expected] of prompt.logprobs.entries()) {
        const actual = logProbabilities[row]?.[prompt.ids[row + 1] as number] as number;
        expect(Math.abs(actual - expected)).toBeLessThan(0.02);
      }
      for (const [row, top] of Object.entries(prompt.top)) {
        kl += klOfTop(top, logProbabilities[Number(row)] as Float64Array);
        rows++;
      }
      let next = logProbabilities.at(-1) as Float64Array;
      for (const [i, token] of prompt.greedy.entries()) {
        if ((prompt.margin[i] as number) < MIN_MARGIN) break;
        expect(indexOfMax(next)).toBe(token);
        next = (await logitsOf([token]))[0] as Float64Array;
      }
    }
    expect(kl / rows).toBeLessThan(MAX_KL);
  });

  it('for every architecture that is listed', ({ skip }) => {
    // Where single models are tried, not all are.
    if (tried.size < 2) skip();
    expect([...supportedArchitectures].filter((name) => !tried.has(name))).toEqual([]);
  });
});

function idsOf(tokenizer: Tokenizer, text: string): number[] {
  const ids = [...tokenizer.encode(text)];
  const { addBos, bosToken } = tokenizer;
  return addBos && bosToken !== undefined && ids[0] !== bosToken ? [bosToken, ...ids] : ids;
}

/** KL divergence of the distribution over some tokens and all others together. */
function klOfTop(top: readonly [number, number][], logProbabilities: Float64Array): number {
  let [kl, expectedRest, rest] = [0, 1, 1];
  for (const [token, expected] of top) {
    const logProbability = logProbabilities[token] as number;
    kl += Math.exp(expected) * (expected - logProbability);
    expectedRest -= Math.exp(expected);
    rest -= Math.exp(logProbability);
  }
  return expectedRest > 1e-4 ? kl + expectedRest * Math.log(expectedRest / rest) : kl;
}

function logSoftmax(logits: Float32Array): Float64Array {
  const max = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, x) => total + Math.exp(x - max), 0);
  return Float64Array.from(logits, (x) => x - max - Math.log(sum));
}

function indexOfMax(values: Float64Array): number {
  return values.reduce((best, value, i) => (value > (values[best] as number) ? i : best), 0);
}
