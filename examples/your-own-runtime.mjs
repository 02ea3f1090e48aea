// @ts-check
/**
 * The cache and the attention alone, under a runtime of your own: whatever makes queries, keys and values calls `write`
 * and `attend` for each layer, and `commit` when a token has gone through all of them. Here they are random.
 *
 *   node examples/your-own-runtime.mjs
 */
import { createAttention, policyEncodings } from 'keysieve';

const shape = { layers: 2, heads: 6, keyValueHeads: 2, headDim: 64 };
const sieve = { policy: 'sieve', budget: 'fixed:256' };
const prompt = 4000;

// Repeatable random numbers.
let seed = 1;
const random = () => {
  seed = (seed * 48271) % 2147483647;
  return seed / 2147483647;
};
const normal = () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
/** @param {number} length @param {number} scale @param {number} mean */
const normals = (length, scale = 1, mean = 0) => Float32Array.from({ length }, () => mean + scale * normal());

const attention = await createAttention({
  ...shape,
  capacity: 8192,
  threads: 2,
  encodings: policyEncodings(sieve), // what the policy reads beside exact keys and values
});
try {
  const width = shape.keyValueHeads * shape.headDim;

  // A prompt: all of its keys and values, layer by layer.
  attention.cache.reserve(prompt);
  for (let layer = 0; layer < shape.layers; layer++) {
    // Values have something in common, as those of a text do.
    attention.cache.write(layer, 0, normals(prompt * width), normals(prompt * width, 1, 1));
    // For a real prompt: attend({ layer, position: 0, queries, policy: sieve, shareSamples: true })
  }
  attention.cache.commit(prompt);

  // A token: one query for each head, after RoPE and not scaled.
  const position = attention.cache.length;
  attention.cache.reserve(1);
  for (let layer = 0; layer < shape.layers; layer++) {
    attention.cache.write(layer, position, normals(width), normals(width, 1, 1));
    const queries = normals(shape.heads * shape.headDim, 2);
    const { outputs, report } = attention.attend({ layer, position, queries, policy: sieve });
    const full = attention.attend({ layer, position, queries, policy: { policy: 'dense' } });

    const norm = Math.hypot(...full.outputs);
    const error = Math.hypot(...outputs.map((x, i) => x - full.outputs[i])) / norm;
    console.log(
      `layer ${layer}: ${outputs.length} outputs, ` +
        `${Math.round(report.bytesRead / 1000)} of ${Math.round(full.report.bytesRead / 1000)} kB read, ` +
        `error ${error.toFixed(3)}, estimated ${(report.outputError.sum / report.rows).toFixed(3)} a head`,
    );
  }
  attention.cache.commit(position + 1);
} finally {
  await attention.dispose();
}
