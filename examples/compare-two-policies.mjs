// @ts-check
/**
 * Compares two policies on a text: how far each one's predictions are from those of full attention over the same cache.
 * `@keysieve/lab` does this with intervals, timings and errors of every layer: see evaluate-with-lab.mjs.
 *
 *   node examples/compare-two-policies.mjs
 */
import { readFile } from 'node:fs/promises';
import { loadModel } from '@keysieve/llm';
import { policyEncodings } from 'keysieve';

const policies = [
  { policy: 'sieve', budget: 'fixed:64' },
  { policy: 'window', budget: 'fixed:64' },
];

const model = await loadModel('nano');
const text = (await readFile(new URL('../LICENSE', import.meta.url), 'utf8')).slice(0, 6000);
const tokens = model.encode(text);
const context = tokens.length - 128;
const vocabulary = model.config.vocabularySize;

// `denseFallback: false`: keep to the policies even where full attention would be faster.
const session = await model.createSession({
  attention: { policy: 'dense' },
  encodings: policies.flatMap(policyEncodings),
  denseFallback: false,
});

/** Logits after each of the last tokens. @param {import('keysieve').PolicySpec} attention */
async function predict(attention) {
  session.truncate(context);
  const rows = [];
  for await (const { logits } of session.evaluate(tokens.subarray(context), { attention })) {
    for (let at = 0; at < logits.length; at += vocabulary) rows.push(logits.slice(at, at + vocabulary));
  }
  return rows;
}

/** @param {Float32Array} logits */
function logSoftmax(logits) {
  const max = logits.reduce((a, b) => Math.max(a, b));
  const logSum = max + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - max), 0));
  return Array.from(logits, (x) => x - logSum);
}

try {
  for await (const _ of session.evaluate(tokens.subarray(0, context), { logits: false }));
  const reference = (await predict({ policy: 'dense' })).map(logSoftmax);
  for (const policy of policies) {
    const predictions = (await predict(policy)).map(logSoftmax);
    let kl = 0;
    for (const [i, p] of reference.entries()) {
      for (const [token, logP] of p.entries()) kl += Math.exp(logP) * (logP - predictions[i][token]);
    }
    console.log(`${policy.policy} ${policy.budget}: KL ${(kl / reference.length).toFixed(4)} nats a token`);
  }
} finally {
  await session.dispose();
  await model.dispose();
}
