import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysieve } from '../test/keysieve.ts';

/** What every option that names an output is given with; its model and captures are not there. */
const WITHOUT_MODEL = ['--model', 'none.gguf'];
const OUTPUTS: [name: string, option: string, args: string[]][] = [
  ['measure', '--law', ['--text', 'text.txt', ...WITHOUT_MODEL]],
  ['measure', '--out', ['--text', 'text.txt', ...WITHOUT_MODEL]],
  ['measure', '--state', ['--text', 'text.txt', ...WITHOUT_MODEL]],
  ['eval', '--save', ['--text', 'text.txt', ...WITHOUT_MODEL]],
  ['eval', '--plot', ['--task', 'recall', ...WITHOUT_MODEL]],
  ['eval', '--report', ['--text', 'text.txt', ...WITHOUT_MODEL]],
  ['capture', '--out', ['--text', 'text.txt', ...WITHOUT_MODEL]],
  ['claims', '--out', ['--captures', 'none.safetensors']],
  ['methods', '--out', ['--captures', 'none.safetensors']],
  ['methods', '--report', ['--captures', 'none.safetensors']],
  ['bench attention', '--plot', ['--captures', 'none.safetensors']],
  ['bench report', '--out', ['none.json']],
];

describe('a file that a command will write', () => {
  let folder: string;
  const run = (name: string, args: string[]) =>
    keysieve([...name.split(' '), ...args.map((arg) => (/\.\w+$/.test(arg) ? join(folder, arg) : arg))]);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-outputs-'));
    await writeFile(join(folder, 'text.txt'), 'some text');
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each(OUTPUTS)('is found to be unwritable before the work: %s %s', async (name, option, args) => {
    const { code, stderr } = await run(name, [...args, option, 'text.txt/out.txt']);
    expect(stderr).toMatch(
      /^keysieve: .*text\.txt\/out\.txt.* cannot be written\. Found: ENOTDIR\..*\[output-unwritable\]\n$/,
    );
    expect(code).toBe(1);
    expect(await readdir(folder)).toEqual(['text.txt']);
  });

  it.each([
    ['a file that is read', ['--text', 'text.txt', '--law', 'text.txt']],
    ['the file of --law', ['--text', 'text.txt', '--law', 'new.txt', '--out', 'new.txt']],
    ['the file of --out', ['--text', 'text.txt', '--out', 'new.txt', '--state', 'new.txt']],
  ])('is not %s', async (what, args) => {
    const { code, stderr } = await run('measure', args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`names ${what}.`)]);
  });
});
