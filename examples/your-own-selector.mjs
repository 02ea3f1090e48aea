// @ts-check
/**
 * A policy of your own: this file is a module of policies, which `registerPolicies` imports here and in every worker
 * thread. Its selector takes sinks, recent keys and evenly spaced ones between them; it looks at no score.
 *
 *   node examples/your-own-selector.mjs
 */
import { pathToFileURL } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import { createAttention, registerPolicies } from 'keysieve';

/** @type {import('keysieve/extend').PolicyModule} */
export default function createPolicies({
  createNone,
  maxKeys,
  selectedPositions,
  sinksAndRecent,
  writeSinksAndRecent,
}) {
  return [
    {
      kind: 'sparse',
      name: 'strided',
      meaning: 'sinks, recent keys and evenly spaced ones between them',
      tail: createNone, // the other keys are dropped
      selector: () => ({
        name: 'strided',
        encodings: [], // it reads no quantized keys
        unit: 'head',
        certain: false,
        select(work, budget) {
          const count = Math.min(work.n, maxKeys(budget, work));
          const { sinks, recent } = sinksAndRecent(count);
          const spaced = count - sinks - recent;
          const positions = selectedPositions(work);
          writeSinksAndRecent(positions, work.n, sinks, recent, spaced);
          const stride = (work.n - sinks - recent) / spaced;
          for (let i = 0; i < spaced; i++) positions[sinks + i] = sinks + Math.floor(i * stride);
          return { count, bytesScanned: 0 };
        },
      }),
    },
  ];
}

async function main() {
  await registerPolicies(import.meta.url);

  const shape = { layers: 1, heads: 2, keyValueHeads: 1, headDim: 64 };
  const attention = await createAttention({ ...shape, capacity: 4096, threads: 2 });
  try {
    const wave = (/** @type {number} */ length) => Float32Array.from({ length }, (_, i) => Math.sin(i * i));
    attention.cache.reserve(4096);
    attention.cache.write(0, 0, wave(4096 * 64), wave(4096 * 64));
    attention.cache.commit(4096);
    const queries = wave(2 * 64);
    for (const policy of ['strided', 'window', 'topk']) {
      const { report } = attention.attend({
        layer: 0,
        position: 4095,
        queries,
        policy: { policy, budget: 'fixed:512' },
      });
      const kept = 1 - report.tailMass.sum / report.rows;
      console.log(
        `${policy}: ${report.keysExact / report.rows} keys a head, at least ${kept.toFixed(3)} of the softmax`,
      );
    }
  } finally {
    await attention.dispose();
  }
}

// Workers import this file for its policies only.
if (isMainThread && import.meta.url === pathToFileURL(process.argv[1] ?? '').href) void main();
