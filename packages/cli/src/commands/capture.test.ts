import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultFiller } from '@keysieve/lab';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keysieve } from '../../test/keysieve.ts';

describe('keysieve capture', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);
  const capture = (...args: string[]) =>
    keysieve(['capture', '--text', file('text.txt'), '--out', file('heads'), '--threads', '1', ...args]);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-capture-'));
    await writeFile(file('text.txt'), await defaultFiller());
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('writes the file that bench attention and claims read', async () => {
    const sizes = ['--tokens', '300', '--last-queries', '6', '--heads', 'l0.g0, l5.g0'];
    const { code, stdout } = await capture(...sizes, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ tokens: 300, lastQueries: 6, heads: ['l0.g0', 'l5.g0'] });
    const bench = await keysieve(['bench', 'attention', '--captures', file('heads'), '--policy', 'topk', '--json']);
    expect(bench.code).toBe(0);
    const { heads } = JSON.parse(bench.stdout);
    expect(heads).toHaveLength(6);
    expect(heads[5]).toMatchObject({ name: 'l5.g0', head: 2 });
  });

  it.for([
    ['heads in another form', ['--heads', '0.0']],
    ['a head that the model has not', ['--tokens', '40', '--last-queries', '1', '--heads', 'l9.g0']],
    ['more tokens than the text has', ['--tokens', '90000']],
  ] as const)('exits with 2 for %s', async ([, args]) => {
    const { code, stdout } = await capture(...args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
  });
});
