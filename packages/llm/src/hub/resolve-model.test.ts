import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type HubFaults, type HubServer, startHubServer } from '../../test/hub-server.ts';
import { resolveModel } from './resolve-model.ts';
import type { DownloadProgress } from './transfer.ts';

const content = randomBytes(300_000);
const spec = 'hf:someone/model/model-Q4_0.gguf';
const key = 'someone/model/model-Q4_0.gguf';

let hub: HubServer;
let cacheFolder: string;
let folder: string;
beforeEach(async () => {
  hub = await startHubServer();
  cacheFolder = await mkdtemp(join(tmpdir(), 'keysieve-hub-'));
  folder = join(cacheFolder, 'hub', 'someone', 'model');
  hub.files.set(key, content);
  vi.stubEnv('HF_TOKEN', undefined);
  vi.stubEnv('HF_ENDPOINT', undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub[Symbol.asyncDispose]();
  await rm(cacheFolder, { recursive: true });
});

const resolve = (name = spec, options: Parameters<typeof resolveModel>[1] = {}) =>
  resolveModel(name, { cacheFolder, hubUrl: hub.url, backoffMs: 1, ...options }) as Promise<string>;
const partials = async () => (await readdir(folder)).filter((name) => name.endsWith('.partial'));

/** Breaks a download off after 100,000 bytes. */
async function interrupt(options: Parameters<typeof resolveModel>[1] = {}) {
  hub.faults.breakAfter = 100_000;
  await expect(resolve(spec, options)).rejects.toMatchObject({ code: 'hub-unreachable' });
  delete hub.faults.breakAfter;
}

describe('resolveModel', () => {
  it('gives a path back as it is', async () => {
    expect(await resolveModel('./models/a.gguf')).toBe('./models/a.gguf');
    expect(await resolveModel('/models/hf:odd.gguf')).toBe('/models/hf:odd.gguf');
  });

  it('fetches a file once, and says how far it is', async () => {
    const progress: DownloadProgress[] = [];
    const path = await resolve(spec, { onProgress: (each) => progress.push(each) });
    expect(path).toBe(join(folder, 'model-Q4_0.gguf'));
    expect((await readFile(path)).equals(content)).toBe(true);
    expect(await readdir(folder)).toEqual(['model-Q4_0.gguf']);
    expect(progress[0]).toEqual({ done: 0, total: content.length });
    expect(progress.at(-1)).toEqual({ done: content.length, total: content.length });
    expect(progress.map(({ done }) => done)).toEqual(progress.map(({ done }) => done).sort((a, b) => a - b));
    hub.faults.status = 500;
    expect(await resolve()).toBe(path);
    expect(hub.requests.length).toBe(1);
  });

  it('keeps a file in a folder of the repository in such a folder', async () => {
    hub.files.set('someone/model/small/model.gguf', content);
    expect(await resolve('hf:someone/model/small/model.gguf')).toBe(join(folder, 'small', 'model.gguf'));
  });

  it('follows the hub to its storage, and does not give the token away', async () => {
    await hub.useStorage();
    hub.faults.token = 'hf_secret';
    await interrupt({ accessToken: 'hf_secret' });
    const path = await resolve(spec, { accessToken: 'hf_secret' });
    expect((await readFile(path)).equals(content)).toBe(true);
    expect(hub.requests.map(({ at, token }) => ({ at, token }))).toEqual([
      { at: 'storage', token: undefined },
      { at: 'storage', token: undefined },
    ]);
    expect(hub.requests[1]?.range).toBeDefined();
  });

  it('asks for the checksum of a file that is not named by it', async () => {
    hub.faults.plainEtags = true;
    hub.faults.corrupt = true;
    await expect(resolve()).rejects.toMatchObject({ code: 'hub-file-corrupt' });
    hub.faults.corrupt = false;
    expect((await readFile(await resolve())).equals(content)).toBe(true);
  });

  it('takes the hub and the token from the environment', async () => {
    vi.stubEnv('HF_ENDPOINT', `${hub.url}/`);
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    vi.stubEnv('KEYSIEVE_CACHE', cacheFolder);
    hub.faults.token = 'hf_secret';
    expect((await readFile((await resolveModel(spec)) as string)).equals(content)).toBe(true);
    expect(hub.requests[0]?.token).toBe('hf_secret');
  });
});

describe('resolveModel of an address', () => {
  const address = (query = '') => `${hub.url}/someone/model/resolve/main/model-Q4_0.gguf${query}`;

  it('fetches what lies there once, goes on after a break, and keeps queries apart', async () => {
    hub.faults.breakAfter = 100_000;
    await expect(resolve(address())).rejects.toMatchObject({ code: 'hub-unreachable' });
    delete hub.faults.breakAfter;
    const path = await resolve(address());
    expect((await readFile(path)).equals(content)).toBe(true);
    expect(hub.requests.at(-1)?.range).toMatch(/^bytes=[1-9]\d*-$/);
    const requests = hub.requests.length;
    expect(await resolve(address())).toBe(path);
    expect(hub.requests.length).toBe(requests);
    expect(await resolve(address('?version=2'))).not.toBe(path);
    expect(path.startsWith(join(cacheFolder, 'urls'))).toBe(true);
  });

  it('gives the token of the hub to nobody', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    await resolve(address());
    expect(hub.requests.map(({ token }) => token)).toEqual([undefined]);
  });

  it.each<[string, HubFaults, string]>([
    ['nothing there', { status: 404 }, 'hub-file-not-found'],
    ['a forbidden one', { status: 403 }, 'hub-access-denied'],
    ['a page', { page: true }, 'hub-unreachable'],
  ])('gives a typed error: %s', async (_, faults, code) => {
    Object.assign(hub.faults, faults);
    await expect(resolve(address())).rejects.toMatchObject({ name: 'KeysieveError', code });
  });
});

describe('a download that was broken off', () => {
  it('is kept, and goes on from there', async () => {
    await interrupt();
    const [partial] = await partials();
    const kept = (await readFile(join(folder, partial as string))).length;
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThanOrEqual(100_000);
    const progress: DownloadProgress[] = [];
    const path = await resolve(spec, { onProgress: (each) => progress.push(each) });
    expect(hub.requests.at(-1)?.range).toBe(`bytes=${kept}-`);
    expect(progress[0]).toEqual({ done: kept, total: content.length });
    expect((await readFile(path)).equals(content)).toBe(true);
    expect(await readdir(folder)).toEqual(['model-Q4_0.gguf']);
  });

  it('begins anew where the file has changed', async () => {
    await interrupt();
    const changed = randomBytes(200_000);
    hub.files.set(key, changed);
    expect((await readFile(await resolve())).equals(changed)).toBe(true);
    expect(hub.requests.at(-1)?.range).toBeUndefined();
    expect(await readdir(folder)).toEqual(['model-Q4_0.gguf']);
  });

  it('begins anew where the server sends whole files only', async () => {
    await interrupt();
    hub.faults.ignoreRanges = true;
    expect((await readFile(await resolve())).equals(content)).toBe(true);
  });

  it('needs no more bytes where all had come', async () => {
    await interrupt();
    const [partial] = await partials();
    await writeFile(join(folder, partial as string), content);
    const before = hub.requests.length;
    expect((await readFile(await resolve())).equals(content)).toBe(true);
    expect(hub.requests.length).toBe(before);
  });

  it('begins anew where more bytes are there than the file has', async () => {
    await interrupt();
    const [partial] = await partials();
    await writeFile(join(folder, partial as string), Buffer.concat([content, content]));
    expect((await readFile(await resolve())).equals(content)).toBe(true);
  });

  it('is refused and deleted where what was kept is damaged', async () => {
    await interrupt();
    const [partial] = await partials();
    await writeFile(join(folder, partial as string), randomBytes(100_000));
    await expect(resolve()).rejects.toMatchObject({ code: 'hub-file-corrupt' });
    expect(await readdir(folder)).toEqual([]);
    expect((await readFile(await resolve())).equals(content)).toBe(true);
  });

  it('is kept where the caller aborts it', async () => {
    const controller = new AbortController();
    const onProgress = ({ done }: DownloadProgress) => {
      if (done > 0) controller.abort();
    };
    await expect(resolve(spec, { signal: controller.signal, onProgress })).rejects.toMatchObject({ code: 'aborted' });
    expect((await partials()).length).toBe(1);
    expect((await readFile(await resolve())).equals(content)).toBe(true);
    expect(hub.requests.at(-1)?.range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('is aborted before it begins', async () => {
    await expect(resolve(spec, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    await expect(resolve('hf:someone/model', { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'aborted',
    });
    expect(hub.requests).toEqual([]);
  });
});

describe('a download that goes wrong', () => {
  it.each<[string, HubFaults, string, number]>([
    ['the connection breaks', { breakAfter: 1000 }, 'hub-unreachable', 1],
    ['the content ends early', { endAfter: 1000 }, 'hub-unreachable', 1],
    ['more bytes come than announced', { extra: 10 }, 'hub-file-corrupt', 0],
    ['other bytes come than announced', { corrupt: true }, 'hub-file-corrupt', 0],
  ])('gives a typed error, and no file: %s', async (_, faults, code, kept) => {
    Object.assign(hub.faults, faults);
    await expect(resolve()).rejects.toMatchObject({ name: 'KeysieveError', code, remedy: expect.any(String) });
    expect((await partials()).length).toBe(kept);
    expect((await readdir(folder)).length).toBe(kept);
    for (const fault of Object.keys(faults)) delete hub.faults[fault as keyof HubFaults];
    expect((await readFile(await resolve())).equals(content)).toBe(true);
  });

  it.each<[string, string, HubFaults, string]>([
    ['no such file', 'hf:someone/model/none.gguf', {}, 'hub-file-not-found'],
    ['no such repository', 'hf:someone/none', {}, 'hub-access-denied'],
    ['not found', 'hf:someone/model', { status: 404 }, 'hub-file-not-found'],
    ['not found', spec, { status: 404 }, 'hub-file-not-found'],
    ['a gated repository', spec, { token: 'hf_other' }, 'hub-access-denied'],
    ['a forbidden one', spec, { status: 403 }, 'hub-access-denied'],
    ['a server that fails', spec, { status: 500 }, 'hub-unreachable'],
    ['too many requests', 'hf:someone/model', { status: 429 }, 'hub-unreachable'],
    ['a page in place of a list', 'hf:someone/model', { page: true }, 'hub-unreachable'],
    ['a page in place of a file', spec, { page: true }, 'hub-unreachable'],
  ])('gives a typed error: %s', async (_, name, faults, code) => {
    Object.assign(hub.faults, faults);
    await expect(resolve(name)).rejects.toMatchObject({ name: 'KeysieveError', code, remedy: expect.any(String) });
  });

  it('gives a typed error without a connection, with the way out', async () => {
    const { url } = hub;
    await hub[Symbol.asyncDispose]();
    for (const name of [spec, 'hf:someone/model']) {
      await expect(resolve(name, { hubUrl: url })).rejects.toMatchObject({
        code: 'hub-unreachable',
        found: expect.stringContaining('ECONNREFUSED'),
        remedy: expect.stringContaining('path of a file'),
      });
    }
    const nowhere = 'http://127.0.0.1:1';
    await expect(resolve(spec, { hubUrl: nowhere })).rejects.toMatchObject({ code: 'hub-unreachable' });
  });

  it('gives a typed error where it cannot be written', async () => {
    await mkdir(join(cacheFolder, 'hub'));
    await writeFile(join(cacheFolder, 'hub', 'someone'), 'a file in the way');
    await expect(resolve()).rejects.toMatchObject({ code: 'cache-folder-unwritable' });
  });

  it.skipIf(process.getuid?.() === 0)('gives a typed error where writing is not allowed', async () => {
    await chmod(cacheFolder, 0o500);
    await expect(resolve()).rejects.toMatchObject({ code: 'cache-folder-unwritable', found: 'EACCES' });
    await chmod(cacheFolder, 0o700);
  });

  it.each([
    '',
    ' ',
    'hf:',
    'hf:model',
    'hf:someone/',
    'hf:someone/model/',
    'hf:someone/model/readme.md',
    'hf:someone/model/../../../x.gguf',
    'hf:../model/x.gguf',
    'hf:someone/model//x.gguf',
    'hf:someone/model/a\\..\\x.gguf',
    'hf:someone/..',
    'hf:some one/model',
    'https://',
  ])('refuses what names no model: %j', async (name) => {
    await expect(resolve(name)).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  it('refuses a token that is none, without showing it', async () => {
    const error = await resolve(spec, { accessToken: 'my password' }).catch((each) => each);
    expect(error).toMatchObject({ code: 'invalid-argument' });
    expect(error.message).not.toContain('my password');
  });
});

describe('a model that is split into several files', () => {
  const names = [1, 2, 3].map((number) => `big-Q8_0-0000${number}-of-00003.gguf`);
  const parts = names.map((_, i) => randomBytes(100_000 * (i + 1)));
  const first = `hf:someone/model/${names[0]}`;
  const follow = () => {
    const progress: DownloadProgress[] = [];
    return { progress, onProgress: (each: DownloadProgress) => progress.push(each) };
  };
  beforeEach(() => {
    for (const [i, name] of names.entries()) hub.files.set(`someone/model/${name}`, parts[i] as Buffer);
  });

  it('is fetched whole by the first of them, with one figure for all', async () => {
    const { progress, onProgress } = follow();
    const path = await resolve(first, { onProgress });
    expect(path).toBe(join(folder, names[0] as string));
    for (const [i, name] of names.entries())
      expect((await readFile(join(folder, name))).equals(parts[i] as Buffer)).toBe(true);
    expect(progress.at(-1)).toEqual({ done: 600_000, total: 600_000 });
    expect(progress.map(({ done }) => done)).toEqual(progress.map(({ done }) => done).sort((a, b) => a - b));
    hub.faults.status = 500;
    expect(await resolve(first)).toBe(path);
  });

  it('is fetched on where a part is missing', async () => {
    await resolve(first);
    await rm(join(folder, names[1] as string));
    const { progress, onProgress } = follow();
    expect(await resolve(first, { onProgress })).toBe(join(folder, names[0] as string));
    expect(progress.at(-1)).toEqual({ done: 200_000, total: 200_000 });
    expect((await readFile(join(folder, names[1] as string))).equals(parts[1] as Buffer)).toBe(true);
  });

  it('is refused where it lacks a part, or another one than the first is named', async () => {
    await expect(resolve(`hf:someone/model/${names[1]}`)).rejects.toMatchObject({
      code: 'gguf-split',
      remedy: expect.stringContaining(names[0] as string),
    });
    hub.files.delete(`someone/model/${names[2]}`);
    await expect(resolve(first)).rejects.toMatchObject({ code: 'hub-file-not-found' });
    expect(hub.requests).toEqual([]);
  });
});

describe('a repository without a file named', () => {
  const choose = async (...names: string[]) => {
    hub.files.clear();
    for (const name of names) hub.files.set(`someone/model/${name}`, Buffer.from(name));
    return readFile(await resolve('hf:someone/model'), 'utf8');
  };

  it.each([
    [['model-Q4_K_M.gguf', 'model-Q4_0.gguf', 'model-Q8_0.gguf'], 'model-Q4_0.gguf'],
    [['model-q4_1.gguf', 'model-q8_0.gguf'], 'model-q4_1.gguf'],
    [['model.Q8_0.gguf', 'model.Q4_K_M.gguf'], 'model.Q8_0.gguf'],
    [['model-Q4_K_M.gguf', 'model-f16.gguf', 'model-Q5_K_S.gguf'], 'model-Q4_K_M.gguf'],
    [['model-bf16.gguf', 'model-fp16.gguf', 'model-Q2_K.gguf'], 'model-fp16.gguf'],
    [['model-Q4_0_4_4.gguf', 'model-Q8_0.gguf'], 'model-Q8_0.gguf'],
    [['only-IQ2_XXS.gguf', 'README.md', 'mmproj-model-f16.gguf'], 'only-IQ2_XXS.gguf'],
    [['big/model-Q4_0.gguf', 'model-Q4_0.gguf', 'model-instruct-Q4_0.gguf'], 'model-Q4_0.gguf'],
    [['model-Q8_0-00001-of-00002.gguf', 'model-Q8_0-00002-of-00002.gguf', 'model-Q4_0.gguf'], 'model-Q4_0.gguf'],
    [['model-Q8_0-00002-of-00002.gguf', 'model-Q8_0-00001-of-00002.gguf'], 'model-Q8_0-00001-of-00002.gguf'],
    [['folder/b-Q8_0.gguf', 'folder/a-Q8_0.gguf'], 'folder/a-Q8_0.gguf'],
  ])('chooses of %j', async (names, chosen) => {
    expect(await choose(...names)).toBe(chosen);
  });

  it.each([
    [['model-Q2_K.gguf', 'model-Q5_K_M.gguf'], 'model-Q2_K.gguf, model-Q5_K_M.gguf'],
    [['model-Q4_0-00002-of-00002.gguf'], 'no .gguf file'],
    [['README.md'], 'no .gguf file'],
  ])('lists the choices where it has none: %j', async (names, found) => {
    await expect(choose(...names)).rejects.toMatchObject({ code: 'hub-file-not-found', found });
  });

  it('chooses of the files that are here without a connection', async () => {
    hub.files.set('someone/model/small/model-Q8_0.gguf', content);
    const path = await resolve('hf:someone/model/small/model-Q8_0.gguf');
    await resolve();
    await hub[Symbol.asyncDispose]();
    expect(await resolve('hf:someone/model')).toBe(join(folder, 'model-Q4_0.gguf'));
    await rm(join(folder, 'model-Q4_0.gguf'));
    expect(await resolve('hf:someone/model')).toBe(path);
  });
});
