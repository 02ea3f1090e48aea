/** The non-attention layers of SmolLM2-135M, with naive attention, against reference logits of the same GGUF file. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { naiveAttention } from '../../test/naive-attention.ts';
import { openSafetensors, type Safetensors } from '../../test/safetensors.ts';
import { sharedFile } from '../../test/shared.ts';
import { openGguf } from '../gguf/index.ts';
import type { MatmulPrecision } from '../onnx/index.ts';
import { loadTransformerSegments, type TransformerSegments } from './transformer-segments.ts';

const modelPath = sharedFile('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');
const promptsPath = sharedFile('goldens/smollm2-135m/prompts.json');
const logitsPath = sharedFile('goldens/smollm2-135m/logits.safetensors');
const pilotPath = sharedFile('models/nano-pilot/nano-pilot-f16.gguf');
const files = useTestFiles();

interface Golden {
  ids: number[];
  greedy: number[];
}

async function load(path: string, precision: MatmulPrecision): Promise<TransformerSegments> {
  await using gguf = await openGguf(path);
  return await loadTransformerSegments(gguf, { precision, threads: 2, cacheFolder: join(files.folder(), 'cache') });
}

const best = (logits: Float32Array): number =>
  logits.reduce((at, value, i) => (value > (logits[at] as number) ? i : at), 0);

function maxDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((max, value, i) => Math.max(max, Math.abs(value - (b[i] as number))), 0);
}

/** The `count` likeliest tokens after `ids`. */
async function continueGreedily(model: TransformerSegments, ids: readonly number[], count: number): Promise<number[]> {
  const attend = naiveAttention(model.config);
  const tokens: number[] = [];
  let logits = await model.forward(Int32Array.from(ids), 0, attend);
  while (tokens.length < count) {
    const token = best(logits as Float32Array);
    tokens.push(token);
    logits = await model.forward(Int32Array.of(token), ids.length + tokens.length - 1, attend);
  }
  return tokens;
}

describe.skipIf(!modelPath || !promptsPath || !logitsPath)('SmolLM2-135M', () => {
  let prompts: Golden[];
  let goldens: Safetensors;
  let fp32: TransformerSegments;

  beforeAll(async () => {
    prompts = JSON.parse(await readFile(promptsPath as string, 'utf8')).prompts;
    goldens = await openSafetensors(logitsPath as string);
    fp32 = await load(modelPath as string, 'fp32');
  });
  afterAll(() => fp32.dispose());

  it('has the logits of the reference after every prompt', async () => {
    for (const [i, { ids }] of prompts.entries()) {
      const logits = (await fp32.forward(Int32Array.from(ids), 0, naiveAttention(fp32.config))) as Float32Array;
      const golden = goldens.f32(`logits${i}`);
      expect(maxDifference(logits, golden)).toBeLessThan(2e-3);
      expect(best(logits)).toBe(best(golden));
    }
  });

  // From the first token on: the golden continuation of the last prompt begins with the second best token of the
  // golden logits (504 before 33), and goes on greedily from there.
  it('continues every prompt as the reference does', async () => {
    for (const { ids, greedy } of prompts) {
      const [first, ...rest] = greedy as [number, ...number[]];
      expect(await continueGreedily(fp32, [...ids, first], rest.length)).toEqual(rest);
    }
  });

  it('has the logits of the reference along a text', async () => {
    const ids = goldens.i32('ids').subarray(0, 512);
    const attend = naiveAttention(fp32.config);
    const first = await fp32.forward(ids.subarray(0, 1), 0, attend);
    const last = await fp32.forward(ids.subarray(1), 1, attend);
    expect(maxDifference(first as Float32Array, goldens.f32('text_logits0'))).toBeLessThan(2e-3);
    expect(maxDifference(last as Float32Array, goldens.f32('text_logits511'))).toBeLessThan(2e-3);
  });

  it('is near the reference with 8-bit activations', async () => {
    await using a8 = await load(modelPath as string, 'a8');
    const ids = goldens.i32('ids').subarray(0, 128);
    const run = (model: TransformerSegments) => model.forward(ids, 0, naiveAttention(model.config), { logits: 'all' });
    const [a, b] = [(await run(fp32)) as Float32Array, (await run(a8)) as Float32Array];
    expect(meanDivergence(a, b, fp32.config.vocabularySize)).toBeLessThan(0.005);
    await using w8a8 = await load(modelPath as string, 'w8a8');
    // Twice what it is chosen up to, on another text.
    expect(meanDivergence(a, (await run(w8a8)) as Float32Array, fp32.config.vocabularySize)).toBeLessThan(0.01);
  });
});

describe.skipIf(!pilotPath)('the nano pilot', () => {
  it('recalls a number that it read', async () => {
    await using model = await load(pilotPath as string, 'fp32');
    const text = 'The number of amber fox is 48213. It was the best of times. The number of amber fox is ';
    const answer = await continueGreedily(model, [...new TextEncoder().encode(text)], 5);
    expect(new TextDecoder().decode(Uint8Array.from(answer))).toBe('48213');
  });
});

/** Mean KL divergence of rows of logits, in nats. */
function meanDivergence(p: Float32Array, q: Float32Array, width: number): number {
  let sum = 0;
  for (let at = 0; at < p.length; at += width) {
    const [a, b] = [logSoftmax(p.subarray(at, at + width)), logSoftmax(q.subarray(at, at + width))];
    sum += a.reduce((divergence, value, i) => divergence + Math.exp(value) * (value - (b[i] as number)), 0);
  }
  return sum / (p.length / width);
}

function logSoftmax(logits: Float32Array): Float64Array {
  const max = logits.reduce((a, b) => Math.max(a, b));
  const logSum = max + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - max), 0));
  return Float64Array.from(logits, (value) => value - logSum);
}
