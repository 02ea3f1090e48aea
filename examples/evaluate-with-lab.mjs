// @ts-check
/**
 * Evaluates policies with the laboratory: divergence with its interval, errors of the outputs, bytes and times. This is
 * what `keysieve eval` runs.
 *
 *   node examples/evaluate-with-lab.mjs
 */
import { readFile } from 'node:fs/promises';
import { evaluateText, formatTable, registerBaselines } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';

// Quest, Twilight, SnapKV and others from the literature.
await registerBaselines();

const model = await loadModel('nano');
try {
  const { tokens, dense, policies } = await evaluateText({
    model,
    text: { name: 'licence', content: await readFile(new URL('../LICENSE', import.meta.url), 'utf8') },
    tokens: 6000,
    evalTokens: 64, // compared with full attention
    auditTokens: 8, // of these, head by head
    policies: [
      { policy: 'sieve', budget: 'fixed:64' },
      { policy: 'quest', budget: 'fixed:64' },
    ],
  });
  console.log(
    `${tokens} tokens; full attention: ${dense.nll.toFixed(3)} nats a token, ${dense.bytesPerKey} bytes a key\n`,
  );
  const rows = policies.map(({ policy, kl, outputError, bytesPerKey }) => [
    policy,
    `${kl.mean.toFixed(4)} (${kl.interval.map((x) => x.toFixed(4)).join(' to ')})`,
    outputError.mean.toFixed(3),
    bytesPerKey.toFixed(0),
  ]);
  console.log(formatTable(['policy', 'KL (95 % interval)', 'output error', 'bytes a key'], rows));
} finally {
  await model.dispose();
}
