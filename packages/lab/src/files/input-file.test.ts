import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readInput } from './input-file.ts';

describe('a file that is read', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keysieve-input-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('is its text, without the byte order mark of an editor', async () => {
    await writeFile(join(folder, 'plan.yaml'), '\uFEFFmodels: [nano]\r\n');
    expect(await readInput(join(folder, 'plan.yaml'))).toBe('models: [nano]\r\n');
  });

  it.each(['missing', '', 'x'.repeat(300), 'a\0b'])(
    'is an error with a code where it cannot be read: %j',
    async (name) => {
      await expect(readInput(join(folder, name))).rejects.toMatchObject({ code: 'file-not-found' });
    },
  );
});
