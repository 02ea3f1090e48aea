import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultFiller } from '@keysieve/lab';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evalCommand } from './eval.ts';

describe('keys for a divergence', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-keys-for-'));
    await writeFile(file('text.txt'), await defaultFiller());
  });
  afterAll(() => rm(folder, { recursive: true }));

  const parse = (...args: string[]) =>
    evalCommand().parseAsync(
      [...args, '--text', file('text.txt'), '--keys-for', 'kl=0.001', '--precision', 'fp32', '--threads', '1'],
      { from: 'user' },
    );

  it.for([
    ['two policies', ['--policy', 'sieve', '--policy', 'quest', '--lengths', '300,600']],
    ['a policy with its budget', ['--policy', 'sieve@fixed:9', '--lengths', '300,600']],
    ['dense attention', ['--policy', 'dense', '--lengths', '300,600']],
    ['one length', ['--lengths', '300']],
    ['a length within what is compared', ['--lengths', '100,600']],
    ['a length past the text', ['--lengths', '300,9999999']],
  ] as const)('are not looked for with %s', async ([, args]) => {
    await expect(parse(...args)).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});
