/** Servers that share a folder of what prompts begin with, as replicas behind a balancer do. */
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { post, recallPrompt, serveNano, type TestServer } from '../test/servers.ts';

const PAGE = 64;
let folder: string;
let servers: [first: TestServer, second: TestServer];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keysieve-shared-'));
  servers = [await serveNano({ cacheFolder: folder }), await serveNano({ cacheFolder: folder })];
});
afterAll(async () => {
  for (const server of servers) await server.close();
  await rm(folder, { recursive: true });
});

const pageFiles = async () => (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.page'));

/** The text of an answer, and how many tokens of its prompt were found. */
async function ask({ url }: TestServer, prompt: string): Promise<[text: string, cachedTokens: number]> {
  const response = await post(`${url}/v1/completions`, { prompt, max_tokens: 5, temperature: 0 });
  const { choices, usage } = await response.json();
  return [choices[0].text, usage.prompt_tokens_details.cached_tokens];
}

it('find what the other has read, and nothing of it that was damaged since', async () => {
  const [first, second] = servers;
  const prompt = recallPrompt('48213', 12);
  const pages = Math.floor((prompt.length - 1) / PAGE);
  expect(await ask(first, prompt)).toEqual(['48213', 0]);
  while ((await pageFiles()).length < pages) await sleep(5);
  for (const name of await pageFiles()) {
    if (!(await isPage(name, 3))) continue;
    await using file = await open(join(folder, name), 'r+');
    await file.write(Buffer.alloc(64, 0xff), 0, 64, 4096);
  }
  expect(await ask(second, prompt)).toEqual(['48213', 3 * PAGE]);
});

/** Whether a file holds the page of this number: its header says so. */
async function isPage(name: string, page: number): Promise<boolean> {
  await using file = await open(join(folder, name));
  const { buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
  return buffer.toString('latin1').includes(`"firstPage":${page},`);
}
