import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const STRACE = '/usr/bin/strace';
const root = fileURLToPath(new URL('../../../../../', import.meta.url));
const tsx = createRequire(import.meta.url).resolve('tsx');
const tsxApi = join(dirname(tsx), 'esm/api/index.mjs');
const sources = ['--conditions', 'keysieve-source', '--import', pathToFileURL(tsx).href];
const library = pathToFileURL(join(root, 'packages/llm/src/index.ts')).href;
const command = join(root, 'packages/cli/src/main.ts');

/** Answers in a program of its own, and then waits for as long as an uploader would to look its host up. */
const answer = `
  import { register } from ${JSON.stringify(pathToFileURL(tsxApi).href)};
  register();
  const { loadModel } = await import(${JSON.stringify(library)});
  const model = await loadModel('nano');
  const session = await model.createSession();
  await session.generate('The king said', { maxTokens: 8 }).result;
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await session.dispose();
  await model.dispose();`;
const inWorker = `
  import { Worker } from 'node:worker_threads';
  const worker = new Worker(new URL('./program.mjs', import.meta.url), { execArgv: ['--conditions', 'keysieve-source'] });
  await new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject));`;

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'keysieve-home-'));
  for (const name of ['program', 'cache', 'tmp', 'home', 'cwd']) await mkdir(join(home, name));
  await writeFile(join(home, 'program', 'program.mjs'), answer);
  await writeFile(join(home, 'program', 'worker.mjs'), inWorker);
});
afterEach(() => rm(home, { recursive: true }));

/** Runs Node with a home of its own; what it leaves there, and the addresses that it tried to reach. */
async function observe(args: string[]) {
  const env: NodeJS.ProcessEnv = {
    PATH: process.env.PATH,
    HOME: join(home, 'home'),
    TMPDIR: join(home, 'tmp'),
    KEYSIEVE_CACHE: join(home, 'cache'),
    // The compiler of these tests keeps its own cache in TMPDIR.
    TSX_DISABLE_CACHE: '1',
  };
  const trace = join(home, 'trace');
  const traced = existsSync(STRACE);
  const tracing = ['-f', '-qq', '-e', 'trace=connect,sendto,sendmsg', '-o', trace, process.execPath];
  const { status, stderr } = traced
    ? spawnSync(STRACE, [...tracing, ...sources, ...args], { env, cwd: join(home, 'cwd'), encoding: 'utf8' })
    : spawnSync(process.execPath, [...sources, ...args], { env, cwd: join(home, 'cwd'), encoding: 'utf8' });
  expect(`${status} ${stderr.includes('Error')}`, stderr).toBe('0 false');
  const left = await Promise.all(
    ['home', 'cwd', 'tmp'].map((name) => readdir(join(home, name), { recursive: true, withFileTypes: true })),
  );
  const calls = traced ? (await readFile(trace, 'utf8')).split('\n') : [];
  return {
    // tsx listens at a pipe in TMPDIR.
    files: left.flatMap((entries) => entries.filter((entry) => entry.isFile()).map(({ name }) => name)),
    addresses: calls.filter((call) => /AF_INET|AF_NETLINK|nscd/.test(call)),
  };
}

describe('a run of Keysieve', () => {
  it.each([
    ['the command', () => [command, 'generate', '--prompt', 'The king said', '-n', '8']],
    ['the library', () => [join(home, 'program', 'program.mjs')]],
    ['the library in a worker', () => [join(home, 'program', 'worker.mjs')]],
  ])('leaves nothing outside its cache folder and asks for no name: %s', async (_, args) => {
    expect(await observe(args())).toEqual({ files: [], addresses: [] });
  });
});
