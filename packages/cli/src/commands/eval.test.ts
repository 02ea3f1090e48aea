/** `keysieve eval` as a user calls it. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysieve } from '../../test/keysieve.ts';

/** JSON text without what a clock has measured. */
const timeless = (json: string): string =>
  JSON.stringify(JSON.parse(json), (key, value) => (/^ms|Ms/.test(key) ? 0 : value));

const RECALL = ['eval', '--task', 'recall', '--lengths', '300,420', '--depths', '2', '--others', '1', '--json'];
const POLICIES = ['--policy', 'dense', '--policy', 'sieve', '--policy', 'window', '--budget', 'fixed:32'];

describe('keysieve eval', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-eval-'));
    await writeFile(file('text.txt'), 'The wind blew over the hills, as it had done for years and years. '.repeat(12));
    await writeFile(file('other.txt'), 'this is no file of results\n');
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('goes on where it was killed, to the same answers, byte for byte', async () => {
    const whole = await keysieve([...RECALL, ...POLICIES]);
    const { answers, policies } = JSON.parse(whole.stdout);
    expect(answers).toHaveLength(2 * 2 * 3);
    expect(policies[0]).toMatchObject({ policy: 'dense', score: 1, right: 4, prompts: 4, byTask: { recall: {} } });

    const save = file('answers.jsonl');
    const linesOf = async () => (existsSync(save) ? (await readFile(save, 'utf8')).split('\n').length - 1 : 0);
    let kept = 0;
    const killed = await new Promise<number | null>((resolve) => {
      let watch: NodeJS.Timeout;
      const run = keysieve([...RECALL, ...POLICIES, '--save', save], '', (_, kill) => {
        watch ??= setInterval(async () => {
          if ((await linesOf()) >= 5) kill('SIGKILL');
        }, 2);
      });
      void run.then(({ code }) => {
        clearInterval(watch);
        resolve(code);
      });
    });
    kept = await linesOf();
    expect([killed, kept < 13]).toEqual([null, true]);
    const before = await readFile(save, 'utf8');
    const resumed = await keysieve([...RECALL, ...POLICIES, '--save', save]);
    expect(timeless(resumed.stdout)).toBe(timeless(whole.stdout));
    // What was kept was not computed again.
    expect((await readFile(save, 'utf8')).startsWith(before.slice(0, before.lastIndexOf('\n') + 1))).toBe(true);
    expect(await linesOf()).toBe(13);
  });

  it('suggests a setting for a text, on a ladder of its own', async () => {
    const args = ['--text', file('text.txt'), '--tokens', '400', '--last', '12', '--audit', '4', '--timed', '1'];
    const { code, stdout } = await keysieve(['eval', ...args, '--suggest', 'kl=0.05', '--policy', 'topk']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Of the settings that hold a KL of at most 0.05|None of these settings holds/);
    expect(stdout).toContain('400 tokens, the last 12 compared');
  });

  it.each([
    ['a limit of nothing', ['--suggest', '0.01']],
    ['a limit below 0', ['--suggest', 'kl=-1']],
    ['no such task', ['--task', 'sing']],
    ['no such task among others', ['--task', 'text,sing']],
    ['no such cost', ['--suggest', 'kl=1', '--suggest-by', 'luck']],
    ['too many facts', ['--task', 'recall', '--others', '12']],
  ])('exits with 2 for %s', async (_, args) => {
    const { code, stdout, stderr } = await keysieve(['eval', '--text', file('text.txt'), ...args]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.length).toBeGreaterThan(20);
  });

  it('leaves a file alone that is none of results', async () => {
    const args = ['--task', 'recall', '--lengths', '300', '--depths', '1', '--save', file('other.txt')];
    const { code, stderr } = await keysieve(['eval', ...args]);
    expect(code).toBe(1);
    expect(stderr).toContain('[invalid-file]');
    expect(await readFile(file('other.txt'), 'utf8')).toBe('this is no file of results\n');
  });
});
