/**
 * Shows that the peer runs here: it must give the goldens' tokens and continuations, and take the tokens it is
 * told to. Prints the build and a few times; they are a sign of life and no benchmark.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Peer } from '@keysieve/lab';
import { loadLlamaCpp } from '@keysieve/lab';

interface Golden {
  prompt: string;
  ids: number[];
  greedy: number[];
}

const shared = (name: string) => fileURLToPath(new URL(`../../../shared/${name}`, import.meta.url));
const { prompts } = JSON.parse(readFileSync(shared('goldens/smollm2-135m/prompts.json'), 'utf8')) as {
  prompts: Golden[];
};
const model = shared('models/smollm2-135m/smollm2-135m-instruct-q4_1.gguf');
const text = readFileSync(shared('texts/war-and-peace.txt'), 'utf8').slice(5_000, 20_000);

const peer = await loadLlamaCpp({ model, threads: 2, contextSize: 1_024, cache: 'f16' });
console.log(peer.versions);
for (const golden of prompts) assert.deepEqual(peer.tokenize(golden.prompt), golden.ids, golden.prompt);
console.log(`${prompts.length} prompts: tokens equal the goldens`);
await checkGreedy(peer, prompts[0] as Golden);
await checkTimes(peer, peer.tokenize(text));
await peer.dispose();

/**
 * Every token of the golden continuation is the most probable one, or close: llama.cpp rounds activations to 8 bits,
 * so that a close call may go the other way.
 */
async function checkGreedy(peer: Peer, { ids, greedy }: Golden): Promise<void> {
  let agreed = 0;
  const rows = await peer.predictions(ids, greedy);
  for (const [position, expected] of greedy.entries()) {
    const probabilities = rows[position] as Float64Array;
    const sum = probabilities.reduce((total, probability) => total + probability, 0);
    assert.ok(Math.abs(sum - 1) < 1e-3, `the probabilities add up to ${sum}`);
    const largest = Math.max(...probabilities);
    assert.ok((probabilities[expected] ?? 0) > largest / 2, `token ${position} of the continuation is improbable`);
    if (probabilities[expected] === largest) agreed += 1;
  }
  console.log(`greedy continuation: ${agreed} of ${greedy.length} tokens equal the golden, the rest are close calls`);
}

/** A prompt of 512 tokens, then two rounds of the same eight steps from the same state. */
async function checkTimes(peer: Peer, tokens: number[]): Promise<void> {
  console.log(`prefill of 512 tokens: ${(await peer.prefill(tokens.slice(0, 512))).toFixed(0)} ms`);
  for (const round of [1, 2]) {
    const elapsed = await peer.decode(tokens.slice(512, 520));
    assert.equal(elapsed.length, 8);
    await peer.rewind(512);
    console.log(`decode at 512, round ${round}: ${elapsed.map((ms) => ms.toFixed(1)).join(' ')} ms`);
  }
  await assert.rejects(peer.decode(tokens.slice(0, 600)), RangeError);
}
