/** `keysieve eval` as a user calls it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysieve } from '../../test/keysieve.ts';

/** JSON text without what a clock has measured. */
const timeless = (json: string): string => JSON.stringify({ ...JSON.parse(json), times: null });

const RECALL = [
  'eval',
  '--task',
  'recall',
  '--lengths',
  '300,420',
  '--depths',
  '2',
  '--distractors',
  '1',
  '--json',
  '--threads',
  '1',
];
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
    const save = file('answers.jsonl');
    const args = [...RECALL, ...POLICIES, '--save', save];
    const whole = await keysieve(args);
    const { answers, policies } = JSON.parse(whole.stdout);
    expect(answers).toHaveLength(2 * 2 * 3);
    expect(policies[0]).toMatchObject({ policy: 'dense', score: 1, right: 4, prompts: 4, byTask: { recall: {} } });

    // What a killed run leaves: whole lines, and a part of the next one.
    const lines = (await readFile(save, 'utf8')).split('\n');
    const kept = `${lines.slice(0, 6).join('\n')}\n`;
    await writeFile(save, kept + lines[6]?.slice(0, 9));
    const resumed = await keysieve(args);
    expect(timeless(resumed.stdout)).toBe(timeless(whole.stdout));
    // What was kept was not computed again, times and all.
    const after = await readFile(save, 'utf8');
    expect(after.startsWith(kept)).toBe(true);
    expect(after.split('\n')).toHaveLength(lines.length);
  });

  it('does not go on with answers of another number of threads, which divide samples in another way', async () => {
    const args = ['eval', '--task', 'recall', '--lengths', '300', '--depths', '1', '--save', file('threads.jsonl')];
    for (const threads of ['1', '2', '1']) await keysieve([...args, '--threads', threads]);
    expect((await readFile(file('threads.jsonl'), 'utf8')).match(/"key":"{\\"task/g)).toHaveLength(2);
  });

  it('suggests a setting for a text, on a ladder of its own', async () => {
    const args = [
      '--text',
      file('text.txt'),
      '--tokens',
      '400',
      '--eval-tokens',
      '12',
      '--audit-tokens',
      '4',
      '--timed-steps',
      '1',
    ];
    const { code, stdout } = await keysieve(['eval', ...args, '--suggest', 'kl=0.05', '--policy', 'topk']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Of the settings that meet a KL of at most 0.05|None of these settings meets/);
    expect(stdout).toContain('400 tokens, the last 12 compared');
  });

  it.each([
    ['a limit of nothing', ['--suggest', '0.01']],
    ['no such task', ['--task', 'sing']],
    ['no such task among others', ['--task', 'text,sing']],
    ['too many facts', ['--task', 'recall', '--distractors', '12']],
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
