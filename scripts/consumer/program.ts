/**
 * What a user of the packed packages might write; `check-packages.mjs` compiles and runs it in an empty project. The
 * arithmetic is checked here against a plain sum, so that a package fails whose kernels, worker threads or model did
 * not make it into the tarball.
 */
import assert from 'node:assert/strict';
import { KeysieveError as ErrorOfLlm, loadModel } from '@keysieve/llm';
import { createAttention, KeysieveError, type PolicySpec } from 'keysieve';

const KEYS = 200;
const HEAD_DIM = 16;

const numbers = (seed: number) => Float32Array.from({ length: KEYS * HEAD_DIM }, (_, i) => Math.sin(seed + i * i));
const [keys, values] = [numbers(1), numbers(2)];
const query = numbers(3).slice(0, HEAD_DIM);

/** softmax(q K^T / sqrt(d)) V in float64, of one head. */
function attend(): number[] {
  const row = (matrix: Float32Array, j: number) => matrix.subarray(j * HEAD_DIM, (j + 1) * HEAD_DIM);
  const weights = Array.from({ length: KEYS }, (_, j) =>
    Math.exp(row(keys, j).reduce((sum, value, i) => sum + value * (query[i] as number), 0) / Math.sqrt(HEAD_DIM)),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Array.from({ length: HEAD_DIM }, (_, i) =>
    weights.reduce((sum, weight, j) => sum + (weight / total) * (row(values, j)[i] as number), 0),
  );
}

async function checkAttention(threads: number): Promise<void> {
  const shape = { layers: 1, heads: 1, keyValueHeads: 1, headDim: HEAD_DIM, precision: 'f32' } as const;
  await using attention = await createAttention({ ...shape, capacity: KEYS, threads });
  assert.equal(attention.threads, threads);
  attention.cache.reserve(KEYS);
  attention.cache.write(0, 0, keys, values);
  attention.cache.commit(KEYS);

  const run = (policy: PolicySpec) => attention.attend({ layer: 0, position: KEYS - 1, queries: query, policy });
  const exact = attend();
  for (const [i, value] of run({ policy: 'dense' }).outputs.entries()) {
    assert.ok(Math.abs(value - (exact[i] as number)) < 1e-5, `output ${i} is ${value}, not ${exact[i]}`);
  }
  const { report } = run({ policy: 'topk', budget: 'fixed:64' });
  assert.equal(report.keysExact, 64);
  assert.ok(report.tailMass.max > 0 && report.tailMass.max < 1);
}

async function checkModel(): Promise<void> {
  await using model = await loadModel('nano');
  await using session = await model.createSession({ attention: { policy: 'window', budget: 'fixed:8' } });
  let text = '';
  const generation = session.generate('The king said', { maxTokens: 8 });
  for await (const chunk of generation) text += chunk.text;
  const result = await generation.result;
  assert.equal(result.text, text);
  assert.equal(result.tokens.length, 8);
  assert.ok((result.answer.attention?.keysExact.mean ?? 9) <= 8);
}

assert.equal(ErrorOfLlm, KeysieveError);
await checkAttention(1);
await checkAttention(2);
console.log('keysieve: attention on one thread and on two equals the plain sum');
await checkModel();
await assert.rejects(loadModel('absent.gguf'), (error) => {
  return error instanceof KeysieveError && error.code === 'model-not-found';
});
console.log('@keysieve/llm: the model in the package generates');
