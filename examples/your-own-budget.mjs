// @ts-check
/**
 * A budget of your own: keys for every layer and head, at some lengths. Here the first layer, whose heads look at much of
 * the text, may attend to four times the keys of the others.
 *
 *   node examples/your-own-budget.mjs
 */
import { loadModel } from '@keysieve/llm';

const model = await loadModel('nano');
const { layers, heads } = model.config;

// (lengths, layers, heads); between two lengths keys are interpolated, beyond them they stay.
const lengths = [256, 1024, 4096, 16384];
/** @type {number[]} */
const keys = [];
for (const n of lengths) {
  const base = Math.round(2 * Math.sqrt(n));
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < heads; head++) keys.push(layer === 0 ? 4 * base : base);
  }
}

const attention = { policy: 'topk', budget: 'first layer x 4', plan: { layers, heads, lengths, keys } };
const session = await model.createSession({ attention });
try {
  const prompt = 'The captain looked at the sea, and the sea was calm. '.repeat(60);
  const { answer } = await session.generate(prompt, { maxTokens: 8, temperature: 0 }).result;
  if (answer.attention !== null) {
    const { policy, budget, keysExact, tailMass } = answer.attention;
    console.log(`${policy}, ${budget}: ${keysExact.mean.toFixed(0)} of ${prompt.length} keys, on average`);
    console.log(`at most ${(tailMass.max ?? 1).toFixed(3)} of the softmax was left out`);
  }
} finally {
  await session.dispose();
  await model.dispose();
}
