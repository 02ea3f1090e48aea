/** What is left of prompts when a server was killed. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { post, recallPrompt, serveNano, spawnNano } from '../test/servers.ts';

const PAGE = 64;

it('finds the pages that were whole when a server was killed in the middle of a prompt, and answers as a fresh one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keysieve-restart-'));
  const pages = async () =>
    (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.page')).length;
  const prompt = recallPrompt('48213', 90);
  const complete = async (url: string) => {
    const response = await post(`${url}/v1/completions`, { prompt, max_tokens: 6, temperature: 0 });
    return (await response.json()) as {
      choices: { text: string }[];
      usage: { prompt_tokens_details: { cached_tokens: number } };
    };
  };
  const victim = await spawnNano({ cacheFolder: folder });
  const answered = complete(victim.url).catch(() => 'cut off');
  while ((await pages()) < 10) await sleep(1);
  await victim.kill();
  const whole = await pages();
  await answered;

  await using fresh = await serveNano();
  const expected = await complete(fresh.url);
  await using server = await serveNano({ cacheFolder: folder });
  const actual = await complete(server.url);
  expect(actual.usage.prompt_tokens_details.cached_tokens).toBe(whole * PAGE);
  expect(actual.choices[0]?.text).toBe(expected.choices[0]?.text);
  await server.close();
  await rm(folder, { recursive: true });
});
