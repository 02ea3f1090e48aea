import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkOutput, writeOutput } from './output-file.ts';

describe('an output file', () => {
  let folder: string;
  const file = (name: string) => join(folder, name);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-output-'));
    await writeFile(file('there.txt'), 'before');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it.each(['new.txt', 'there.txt', 'a/b/c.txt'])(
    'is found to be writable at %s, and nothing is left or changed',
    async (name) => {
      await checkOutput(file(name));
      expect(await readdir(folder)).toEqual(['there.txt']);
      expect(await readFile(file('there.txt'), 'utf8')).toBe('before');
      await writeOutput(file(name), 'after');
      expect(await readFile(file(name), 'utf8')).toBe('after');
      expect((await readdir(folder)).filter((each) => each.endsWith('.new'))).toEqual([]);
    },
  );

  it.each([
    ['a folder', '.'],
    ['a folder that is not there', 'a/b/'],
    ['a place below a file', 'there.txt/a.txt'],
    ['a name that is too long', 'x'.repeat(300)],
  ])('is refused for %s before anything is written', async (_, name) => {
    const path = `${folder}/${name}`;
    await expect(checkOutput(path)).rejects.toMatchObject({ code: 'output-unwritable' });
    await expect(writeOutput(path, 'after')).rejects.toMatchObject({ code: 'output-unwritable' });
    expect(await readdir(folder)).toEqual(['there.txt']);
  });

  it.skipIf(process.platform !== 'linux')(
    'is refused where the system has no file to make, even for root',
    async () => {
      await expect(checkOutput('/proc/keysieve.txt')).rejects.toMatchObject({ code: 'output-unwritable' });
      await checkOutput('/dev/full');
      await expect(writeOutput('/dev/full', 'x')).rejects.toMatchObject({ code: 'output-unwritable', found: 'ENOSPC' });
    },
  );

  it('replaces what a link leads to, with the permissions that it had', async () => {
    await mkdir(file('elsewhere'));
    await writeFile(file('elsewhere/target.txt'), 'before');
    await chmod(file('elsewhere/target.txt'), 0o600);
    await symlink(file('elsewhere/target.txt'), file('link.txt'));
    await writeOutput(file('link.txt'), 'after');
    expect(await readFile(file('elsewhere/target.txt'), 'utf8')).toBe('after');
    expect((await stat(file('elsewhere/target.txt'))).mode & 0o777).toBe(0o600);
  });
});
