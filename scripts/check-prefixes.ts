/**
 * Holds servers that share a folder of prefixes to what is promised of them: `npm run check:prefixes`. Two servers, each a
 * process of its own, answer 200 prompts at random, while servers are killed (-9) and page files damaged at random, and
 * while the folder is too small for all pages. Every answer must be that of a server which has read the prompt by itself,
 * token by token and with its log-probabilities. Then one server reads prompts that the other has read.
 * `npm run check:prefixes -- KILLS` takes another number of kills than twenty.
 */
import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRandom, type Random } from '../packages/llm/test/random.ts';
import { post, recallPrompt, type ServerProcess, serveNano, spawnNano } from '../packages/server/test/servers.ts';

const PROMPTS = 200;
const CLIENTS = 6;
const KILLS = Number(process.argv[2] ?? 20);
const DAMAGES = 20;
const CODES = 16;
const REPETITIONS = [15, 45, 75, 105];
const KNOWN = 8;
const PAGE = 64;
const TOKENS = 5;
const FOLDER_LIMIT = 48 * 2 ** 20;
/** Log-probabilities may differ by this: chunks of a prompt end elsewhere where some of it was found. */
const ROUNDING = 0.05;

interface Answer {
  text: string;
  logprobs: number[];
  promptTokens: number;
  cachedTokens: number;
  readMs: number;
}

async function ask(url: string, prompt: string): Promise<Answer> {
  const body = { prompt, max_tokens: TOKENS, temperature: 0, logprobs: 1 };
  const response = await post(`${url}/v1/completions`, body);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error.message);
  const { choices, usage, timings } = answer;
  assert.equal(choices[0].logprobs.token_logprobs.length, TOKENS);
  return {
    text: choices[0].text,
    logprobs: choices[0].logprobs.token_logprobs,
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    readMs: timings.prompt_ms,
  };
}

async function pageFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => name.endsWith('.page')).map((name) => join(folder, name));
}

async function bytesOf(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(async (path) => (await stat(path).catch(() => undefined))?.size ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** What servers answer that have read each prompt by themselves. */
function createReference(url: string): (prompt: string) => Promise<Answer> {
  const answers = new Map<string, Promise<Answer>>();
  return (prompt) => {
    const found = answers.get(prompt) ?? ask(url, prompt);
    answers.set(prompt, found);
    return found;
  };
}

/** Damages a page file as a failing disk would: some bytes are others, or the end is gone. */
async function damage(folder: string, random: Random): Promise<boolean> {
  const files = await pageFiles(folder);
  const path = files[random.integer(files.length)];
  if (path === undefined) return false;
  const file = await open(path, 'r+').catch(() => undefined);
  if (file === undefined) return false;
  const { size } = await file.stat();
  if (random.integer(2) === 0) await file.truncate(random.integer(size));
  else await file.write(Buffer.from([random.integer(256), random.integer(256), 7, 77]), 0, 4, random.integer(size - 4));
  await file.close();
  return true;
}

async function chaos(folder: string, reference: (prompt: string) => Promise<Answer>): Promise<void> {
  const random = createRandom(27);
  const codes = Array.from({ length: CODES }, () => String(10_000 + random.integer(90_000)));
  const spawn = () =>
    spawnNano({ cacheFolder: folder, limits: { maxCacheBytes: 2 ** 20, maxFolderBytes: FOLDER_LIMIT } });
  const servers = await Promise.all([spawn(), spawn()]);
  const counts = { asked: 0, answered: 0, cutOff: 0, kills: 0, damages: 0, cachedTokens: 0, promptTokens: 0 };
  let largestDifference = 0;
  let mostBytes = 0;

  async function client(): Promise<void> {
    while (counts.asked < PROMPTS) {
      counts.asked++;
      const code = codes[random.integer(CODES)] as string;
      const prompt = recallPrompt(code, REPETITIONS[random.integer(REPETITIONS.length)]);
      let answer: Answer | undefined;
      while (answer === undefined) {
        // A client whose connection breaks asks again, of whichever server the balancer takes.
        const { url } = servers[random.integer(2)] as ServerProcess;
        answer = await ask(url, prompt).catch(async (error) => {
          if (!(error instanceof TypeError)) throw error;
          counts.cutOff++;
          await sleep(100);
          return undefined;
        });
      }
      const expected = await reference(prompt);
      assert.equal(answer.text, expected.text);
      const differences = answer.logprobs.map((value, i) => Math.abs(value - (expected.logprobs[i] as number)));
      largestDifference = Math.max(largestDifference, ...differences);
      assert.ok(largestDifference < ROUNDING, `log-probabilities differ by ${largestDifference}`);
      counts.answered++;
      counts.cachedTokens += answer.cachedTokens;
      counts.promptTokens += answer.promptTokens;
    }
  }

  async function until(share: number): Promise<void> {
    while (counts.answered < share * 0.9 * PROMPTS) await sleep(20);
    await sleep(random.integer(500));
  }
  async function kill(): Promise<void> {
    for (let i = 0; i < KILLS; i++) {
      await until(i / KILLS);
      const victim = random.integer(2);
      await (servers[victim] as ServerProcess).kill();
      counts.kills++;
      servers[victim] = await spawn();
    }
  }
  async function damageFiles(): Promise<void> {
    for (let i = 0; i < DAMAGES; i++) {
      await until(i / DAMAGES);
      if (await damage(folder, random)) counts.damages++;
      mostBytes = Math.max(mostBytes, await bytesOf(await pageFiles(folder)));
    }
  }

  try {
    await Promise.all([kill(), damageFiles(), ...Array.from({ length: CLIENTS }, client)]);
  } finally {
    for (const server of servers) await server.kill();
  }
  assert.ok(counts.cachedTokens > 0);
  const share = (100 * counts.cachedTokens) / counts.promptTokens;
  const limit = `${(FOLDER_LIMIT / 2 ** 20).toFixed(0)} MiB`;
  console.log(
    `${counts.answered} answers of two servers on one folder, each that of a fresh read (log-probabilities within ` +
      `${largestDifference.toExponential(1)}): ${counts.kills} kills, ${counts.cutOff} requests cut off and asked again, ` +
      `${counts.damages} files damaged; ${share.toFixed(0)} % of the tokens were found; at most ` +
      `${(mostBytes / 2 ** 20).toFixed(0)} MiB in the folder, whose limit is ${limit}`,
  );
}

/** One server reads prompts that the other one has read. */
async function known(folder: string): Promise<void> {
  const random = createRandom(4);
  await using first = await spawnNano({ cacheFolder: folder });
  await using second = await spawnNano({ cacheFolder: folder });
  // What is compiled and allocated with a first prompt is no part of reading another.
  for (const { url } of [first, second]) await ask(url, recallPrompt('10000', 115));
  const prompts = Array.from({ length: KNOWN }, () => recallPrompt(String(10_000 + random.integer(90_000)), 115));
  const ratios: number[] = [];
  let found = 0;
  for (const prompt of prompts) {
    const before = (await pageFiles(folder)).length;
    const one = await ask(first.url, prompt);
    while ((await pageFiles(folder)).length < before + Math.floor(one.promptTokens / PAGE)) await sleep(20);
    const other = await ask(second.url, prompt);
    assert.equal(other.text, one.text);
    ratios.push(other.readMs / one.readMs);
    found = other.cachedTokens / other.promptTokens;
  }
  const percent = (ratio: number) => (100 * ratio).toFixed(1);
  const sorted = ratios.toSorted((a, b) => a - b);
  console.log(
    `a prompt that the first server has read takes the second ${percent(sorted[KNOWN >> 1] as number)} % of the first's time ` +
      `(${percent(sorted[0] as number)} to ${percent(sorted.at(-1) as number)}, ${KNOWN} prompts; ${percent(found)} % of the tokens were found)`,
  );
}

const folder = await mkdtemp(join(tmpdir(), 'keysieve-check-prefixes-'));
try {
  await using fresh = await serveNano({ limits: { maxCacheBytes: 1, maxSessions: 1, parallel: 1 } });
  await chaos(join(folder, 'chaos'), createReference(fresh.url));
  await known(join(folder, 'known'));
} finally {
  await rm(folder, { recursive: true });
}
