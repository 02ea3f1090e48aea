/** One figure for all of loading, over a real load: from a server as the hub is, with nothing prepared, and again. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { nanoLocation } from '#platform';
import { type HubServer, startHubServer } from '../../test/hub-server.ts';
import { loadModel } from './load-model.ts';
import { createLoading, type LoadProgress } from './load-progress.ts';
import type { LoadOptions } from './model-file.ts';

let hub: HubServer;
let cacheFolder: string;
beforeEach(async () => {
  hub = await startHubServer();
  cacheFolder = await mkdtemp(join(tmpdir(), 'keysieve-progress-'));
  vi.stubEnv('HF_TOKEN', undefined);
  vi.stubEnv('HF_ENDPOINT', hub.url);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub[Symbol.asyncDispose]();
  await rm(cacheFolder, { recursive: true });
});

async function progressOf(source: string, options: LoadOptions = {}): Promise<LoadProgress[]> {
  const progress: LoadProgress[] = [];
  await using _ = await loadModel(source, {
    cacheFolder,
    threads: 1,
    context: 256,
    ...options,
    onProgress: (each) => progress.push(each),
  });
  return progress;
}

function expectOneFigure(progress: readonly LoadProgress[]): void {
  const overall = progress.map((each) => each.overall);
  expect(overall).toEqual(overall.toSorted((a, b) => a - b));
  expect(overall.at(-1)).toBe(1);
  expect(overall.slice(0, -1).every((share) => share >= 0 && share < 1)).toBe(true);
}

it('grows only, from a model on the hub with nothing prepared to one that is there', async () => {
  hub.files.set('someone/nano/nano.gguf', await readFile(nanoLocation() as string));
  const first = await progressOf('hf:someone/nano/nano.gguf');
  expectOneFigure(first);
  expect(first.map(({ phase }) => phase)).toEqual(expect.arrayContaining(['download', 'build', 'load', 'calibrate']));
  const again = await progressOf('hf:someone/nano/nano.gguf', { verify: true });
  expectOneFigure(again);
  expect(new Set(again.map(({ phase }) => phase))).toEqual(new Set(['verify', 'load']));
  expect(again[0]?.overall).toBeLessThan(0.2);
});

it('never falls, whatever steps report', () => {
  const figures: number[] = [];
  const loading = createLoading(({ overall }) => figures.push(overall));
  const [first, second] = [loading.part(0, 0.5), loading.part(0.5, 1)];
  for (const done of [1, 3, 2, 4]) first.report({ phase: 'download', done, total: 4 });
  for (const done of [0, 5]) second.part(0.5, 1).report({ phase: 'load', done, total: 5 });
  expect(figures).toEqual([0.125, 0.375, 0.375, 0.5, 0.75, 1]);
});
