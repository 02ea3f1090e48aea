// @ts-check
/**
 * Asks several questions about one document. A prompt is always the whole text; what the session has read already is not
 * read again, so that only the first question pays for the document.
 *
 *   node examples/several-turns.mjs
 */
import { readFile } from 'node:fs/promises';
import { loadModel } from '@keysieve/llm';

// Some prose with two facts in it. "nano" cannot chat, but it finds a number whose sentence is begun again.
const prose = await readFile(new URL('../LICENSE', import.meta.url), 'utf8');
const document =
  `${prose.slice(200, 3200)} The number of amber fox is 48213. ` +
  `${prose.slice(3200, 6200)} The number of silver oak is 90517. ${prose.slice(6200, 8200)}`;
const questions = ['The number of amber fox is', 'The number of silver oak is'];

const model = await loadModel('nano');
const session = await model.createSession();
try {
  for (const question of questions) {
    const { text, promptTokens, reusedTokens, prefillMs } = await session.generate(`${document} ${question}`, {
      maxTokens: 6,
      temperature: 0,
    }).result;
    console.log(`${question}${text}`);
    console.log(`  read ${promptTokens - reusedTokens} of ${promptTokens} tokens in ${prefillMs.toFixed(0)} ms`);
  }
} finally {
  await session.dispose();
  await model.dispose();
}
