import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { keysieve } from '../test/keysieve.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const NODE = ['--conditions', 'keysieve-source', '--import', 'tsx', MAIN];
const LONG = ['generate', '-n', '200', 'The king said'];

/** Runs the command with a stdout of the test's own; its exit code, and what it says on stderr. */
async function run(args: string[], stdout: 'pipe' | number): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [...NODE, ...args], { stdio: ['ignore', stdout, 'pipe'] });
  // A reader that has enough after the first bytes.
  child.stdout?.once('data', () => child.stdout?.destroy());
  let stderr = '';
  child.stderr?.on('data', (data) => {
    stderr += data;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr })));
}

describe('stdout', () => {
  it('may be closed by a reader that has enough', async () => {
    expect(await run(LONG, 'pipe')).toEqual({ code: 141, stderr: '' });
  });

  it.skipIf(process.platform === 'win32').each([['inspect', '--json'], ['models'], ['--help']])(
    'may be closed before anything is written: %s',
    async (...args) => {
      const command = [process.execPath, ...NODE, ...args].map((part) => `'${part}'`).join(' ');
      // The reader is gone when the command begins, whose code the shell writes into the third stream.
      const child = spawn('sh', ['-c', `{ sleep 0.2; ${command} 2>&4; echo code $? >&3; } 3>&2 4>&2 | true`]);
      let stderr = '';
      child.stderr.on('data', (data) => {
        stderr += data;
      });
      await new Promise((resolve) => child.on('close', resolve));
      expect(stderr).toBe('code 141\n');
    },
  );

  it.skipIf(process.platform !== 'linux').each([
    ['an answer', LONG],
    ['JSON', ['generate', '-n', '3', '--json', 'The king said']],
    ['a table', ['models']],
    ['help', ['eval', '--help']],
    ['the version', ['--version']],
  ])('may be full: %s', async (_, args) => {
    const { code, stderr } = await run(args, openSync('/dev/full', 'w'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^keysieve: The output cannot be written\. Found: ENOSPC\..*\[output-unwritable\]\n$/);
  });
});

describe('exit codes', () => {
  it.each([
    ['a wrong option', ['generate', '--nonsense']],
    ['a wrong option of a nested command', ['bench', 'decode', '--nonsense']],
    ['a wrong value of a nested command', ['bench', 'decode', '--threads', 'many']],
    ['a nested command that is none', ['bench', 'nonsense']],
    ['two prompts', ['generate', 'a', '--prompt', 'b']],
  ])('are 2 for a wrong call: %s', async (_, args) => {
    expect(await keysieve(args)).toMatchObject({ code: 2, stdout: '' });
  });

  it('are 0 for help, of nested commands too', async () => {
    expect(await keysieve(['bench', 'decode', '--help'])).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('generate', () => {
  it('takes its prompt as an argument, samples from all tokens, and says that the context is full', async () => {
    const { code, stdout, stderr } = await keysieve([
      'generate',
      'The king',
      '--context',
      '24',
      '-n',
      '99',
      '--top-k',
      '0',
    ]);
    expect([code, stdout.length > 1]).toEqual([0, true]);
    expect(stderr).toContain('the context of 24 tokens is full');
    expect(stderr.trim().split('\n')).toHaveLength(2);
  });
});

describe('a warning', () => {
  it('stands on lines of its own, without what only a developer of Node could use', async () => {
    const threads = availableParallelism() + 1;
    const { code, stderr } = await keysieve([
      'generate',
      'hi',
      '-n',
      '1',
      '--precision',
      'fp32',
      '--threads',
      `${threads}`,
    ]);
    expect(code).toBe(0);
    expect(stderr).toMatch(new RegExp(`^warning: ${threads} threads share`, 'm'));
    expect(stderr).not.toMatch(/\(node:|trace-warnings/);
  });
});
