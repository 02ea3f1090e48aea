/** Shards of a run in processes of their own, and `keysieve merge`, as a user calls them. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysieve } from '../../test/keysieve.ts';

describe('keysieve merge', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-merge-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const RECALL = ['eval', '--task', 'recall', '--lengths', '300', '--depths', '2', '--policy', 'dense', '--policy'];
  const ARGS = [...RECALL, 'window@fixed:32', '--precision', 'fp32', '--threads', '1'];

  it('prints and writes what one process would have', async () => {
    const shards = [file('1.jsonl'), file('2.jsonl')];
    for (const [i, save] of shards.entries()) {
      const { code, stdout, stderr } = await keysieve([...ARGS, '--shard', `${i + 1}/2`, '--save', save]);
      expect([code, stdout]).toEqual([0, '']);
      expect(stderr).toContain(`2 of 4 cells are in ${save}`);
    }
    const single = await keysieve([...ARGS, '--json']);
    const merged = await keysieve(['merge', ...shards, '--json', '--report', file('report.html')]);
    const timeless = (json: string) => JSON.stringify({ ...JSON.parse(json), times: null });
    expect(timeless(merged.stdout)).toBe(timeless(single.stdout));
    expect(await readFile(file('report.html'), 'utf8')).toContain('<!doctype html>');
    const incomplete = await keysieve(['merge', file('1.jsonl')]);
    expect([incomplete.code, incomplete.stdout]).toEqual([1, '']);
    expect(incomplete.stderr).toContain('[results-incomplete]');
  });

  it.each([
    ['without a file', ['--shard', '1/2']],
    ['of no run', ['--shard', '3/2', '--save', 'x']],
    ['of a search', ['--shard', '1/2', '--save', 'x', '--keys-for', 'kl=0.1']],
  ])('refuses a shard %s', async (_, args) => {
    const { code, stdout, stderr } = await keysieve([...ARGS, ...args]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/shard/);
  });
});
