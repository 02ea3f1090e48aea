// @ts-check
/**
 * Evaluates policies with the laboratory: divergence with its interval, errors of the outputs, bytes and times. This is
 * what `keysieve eval` runs.
 *
 *   node examples/evaluate-with-lab.mjs
 */
import { readFile } from 'node:fs/promises';
import { evaluateText, formatTable, openSavedResults, registerBaselines } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';
import { policyEncodings } from 'keysieve';

// Quest, Twilight, SnapKV and others from the literature.
await registerBaselines();
const policies = [
  { policy: 'sieve', budget: 'fixed:64' },
  { policy: 'quest', budget: 'fixed:64' },
];

const model = await loadModel('nano');
const session = await model.createSession({
  attention: { policy: 'dense' },
  encodings: policies.flatMap(policyEncodings),
  denseFallback: false,
});
try {
  const text = await readFile(new URL('../LICENSE', import.meta.url), 'utf8');
  const {
    tokens,
    dense,
    policies: results,
  } = await evaluateText({
    model,
    session,
    tokens: model.encode(text.slice(0, 6000)),
    evalTokens: 64, // compared with full attention
    auditTokens: 8, // of these, head by head
    policies,
    prefills: [{ policy: 'dense' }],
    timedSteps: 8,
    seed: 1,
    saved: await openSavedResults(undefined, {}), // a path instead: an interrupted run goes on where it was
    signal: new AbortController().signal,
    onProgress() {},
  });
  console.log(
    `${tokens} tokens; full attention: ${dense.nll.toFixed(3)} nats a token, ${dense.bytesPerKey} bytes a key\n`,
  );
  const rows = results.map(({ policy, kl, outputError, bytesPerKey }) => [
    policy,
    `${kl.mean.toFixed(4)} (${kl.interval.map((x) => x.toFixed(4)).join(' to ')})`,
    outputError.mean.toFixed(3),
    bytesPerKey.toFixed(0),
  ]);
  console.log(formatTable(['policy', 'KL (95 % interval)', 'output error', 'bytes a key'], rows));
} finally {
  await session.dispose();
  await model.dispose();
}
