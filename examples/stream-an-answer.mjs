// @ts-check
/**
 * Streams an answer token by token, then says what it cost and how exact its attention was.
 *
 *   node examples/stream-an-answer.mjs [MODEL]
 */
import { loadModel } from '@keysieve/llm';

// "nano" comes with the package; a GGUF file or hf:OWNER/REPO works the same way.
const model = await loadModel(process.argv[2] ?? 'nano');
// Prompts and answers are read by the sieve; without these options attention is full.
const session = await model.createSession();
try {
  const generation = session.generate('The king said', { maxTokens: 60, seed: 1, temperature: 0.7 });
  for await (const { text } of generation) process.stdout.write(text);

  const { promptTokens, tokens, prefillMs, decodeMs, answer } = await generation.result;
  const decodeMean = decodeMs.reduce((sum, ms) => sum + ms, 0) / decodeMs.length;
  console.log(`\n\nprompt: ${promptTokens} tokens in ${prefillMs.toFixed(0)} ms`);
  console.log(`answer: ${tokens.length} tokens at ${decodeMean.toFixed(1)} ms`);
  if (answer.attention !== null) {
    const { keysExact, kind } = answer.attention;
    console.log(`attention: ${(keysExact.share * 100).toFixed(0)} % of the keys exactly, ${kind}`);
  }
} finally {
  await session.dispose();
  await model.dispose();
}
