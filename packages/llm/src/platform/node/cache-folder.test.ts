import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { useTestFiles } from '../../../test/gguf-files.ts';
import { cacheFolderPath, openCacheFolder } from './cache-folder.ts';

const files = useTestFiles();
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('the cache folder', () => {
  it('is the option, then KEYSIEVE_CACHE, then the user’s own', () => {
    vi.stubEnv('KEYSIEVE_CACHE', '/from/environment');
    expect(cacheFolderPath('from-option')).toBe(resolve('from-option'));
    expect(cacheFolderPath()).toBe(resolve('/from/environment'));
    vi.stubEnv('KEYSIEVE_CACHE', '');
    vi.stubEnv('HOME', '/home/someone');
    expect(cacheFolderPath()).toMatch(/keysieve/);
  });

  it('is made where it is missing', async () => {
    const path = join(files.folder(), 'deep', 'cache');
    const folder = await openCacheFolder(path);
    expect(folder.path).toBe(path);
    expect(existsSync(path)).toBe(true);
    await folder.release();
    expect(existsSync(path)).toBe(true);
  });

  it('is an error where one was asked for that cannot be written', async () => {
    const blocked = join(await files.save('a file'), 'cache');
    await expect(openCacheFolder(blocked)).rejects.toMatchObject({ code: 'cache-folder-unwritable', found: 'ENOTDIR' });
    vi.stubEnv('KEYSIEVE_CACHE', blocked);
    await expect(openCacheFolder()).rejects.toMatchObject({ code: 'cache-folder-unwritable', found: 'ENOTDIR' });
  });

  it('is a temporary one, with a warning, where the user’s own cannot be written', async () => {
    vi.stubEnv('KEYSIEVE_CACHE', '');
    vi.stubEnv('XDG_CACHE_HOME', await files.save('a file'));
    vi.stubEnv('LOCALAPPDATA', await files.save('a file'));
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const folder = await openCacheFolder();
    expect(warn).toHaveBeenCalledWith(expect.stringContaining(folder.path), expect.anything());
    expect(existsSync(folder.path)).toBe(true);
    await folder.release();
    expect(existsSync(folder.path)).toBe(false);
  });
});
