import { execFileSync } from 'node:child_process';
import { link, mkdir, readdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../../test/gguf-files.ts';
import { describeSource } from '../../io/source.conformance.ts';
import { SourceError } from '../../io/source.ts';
import { contentOf, describeStore, put } from '../../io/store.conformance.ts';
import { createFolderStore } from './folder-store.ts';
import { openPath } from './path-source.ts';

const files = useTestFiles();
let folders = 0;
const newFolder = () => join(files.folder(), `store-${folders++}`, 'made');

describeSource('a path', {
  open: async (bytes) => openPath(await files.save(bytes)),
  openMissing: () => openPath(join(files.folder(), 'missing')),
});
describeStore('a folder', {
  create: async () => createFolderStore(newFolder()),
  reopen: async (store) => createFolderStore(store.name),
});

describe('a path', () => {
  it('is no source where no system could have it', async () => {
    await expect(openPath('a\0b')).rejects.toBeInstanceOf(SourceError);
    await expect(openPath('x'.repeat(5000))).rejects.toBeInstanceOf(SourceError);
  });

  it('is no source where it is a folder or a pipe', async () => {
    await expect(openPath(files.folder())).rejects.toMatchObject({ fault: 'not-a-file' });
    const pipe = join(files.folder(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expect(openPath(pipe)).rejects.toMatchObject({ fault: 'not-a-file' });
  });
});

describe('a folder that others have been in', () => {
  it('has no files that are links, pipes or folders, and writes through none of them', async () => {
    const folder = newFolder();
    const store = createFolderStore(folder);
    await put(store, 'kept', Uint8Array.of(1));
    const outside = await files.save('outside');
    await symlink(outside, join(folder, 'link'));
    await link(outside, join(folder, 'hard'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await mkdir(join(folder, 'folder', 'below'), { recursive: true });
    for (const name of ['link', 'pipe', 'folder']) {
      expect(await store.open(name)).toBeUndefined();
    }
    for (const name of ['link', 'pipe', 'folder', 'hard']) {
      await expect(store.edit(name)).rejects.toMatchObject({ code: 'cache-folder-unwritable' });
      await put(store, name, Uint8Array.of(7));
      expect(await contentOf(store, name)).toEqual(Uint8Array.of(7));
    }
    expect(await readFile(outside, 'utf8')).toBe('outside');
  });

  it('makes its folders in the place of files', async () => {
    const folder = newFolder();
    const store = createFolderStore(folder);
    await put(store, 'a', Uint8Array.of(1));
    await put(store, 'a/b/c', Uint8Array.of(2));
    expect(await contentOf(store, 'a/b/c')).toEqual(Uint8Array.of(2));
  });

  it('is not written below a file that is not its own', async () => {
    const blocked = join(await files.save('a file'), 'cache');
    await expect(createFolderStore(blocked).edit('x')).rejects.toMatchObject({
      code: 'cache-folder-unwritable',
      found: 'ENOTDIR',
    });
    expect(await readFile(join(blocked, '..'), 'utf8')).toBe('a file');
  });

  it('loses what killed processes left, a day later, and nothing else', async () => {
    const folder = newFolder();
    const temporary = join(folder, 'tmp');
    const [old, young] = ['0123456789abcdef', 'fedcba9876543210'];
    for (const name of [old, young, 'notes']) {
      await mkdir(join(temporary, name), { recursive: true });
      await writeFile(join(temporary, name, 'weights.bin'), 'x');
    }
    const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000);
    for (const name of [old, 'notes']) await utimes(join(temporary, name), yesterday, yesterday);
    await put(createFolderStore(folder), 'a', Uint8Array.of(1));
    expect(await readdir(temporary)).toEqual([young, 'notes']);
  });
});
