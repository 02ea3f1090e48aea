/** What pages make of answers of a server; with the storage of Node, since none of them is kept. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fetchAndKeep } from './transfer.ts';

const SIZE = 1000;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keysieve-page-'));
  vi.stubGlobal('navigator', { locks: { request: (_: string, __: object, work: () => unknown) => work() } });
});
afterEach(async () => {
  vi.unstubAllGlobals();
  await rm(folder, { recursive: true });
});

describe('a range that a page has asked for', () => {
  it('is not taken for another one', async () => {
    const headers = { 'content-range': `bytes 500-${SIZE - 1}/${SIZE}` };
    const fetch = async () => new Response(new Uint8Array(SIZE), { status: 206, headers });
    const remote = { url: 'http://hub.invalid/x', size: SIZE, etag: '"1"', sha256: undefined, headers: {} };
    const options = { fetch, what: 'x', hubUrl: 'http://hub.invalid', signal: undefined };
    await expect(fetchAndKeep(remote, folder, 'hub/x', options)).rejects.toMatchObject({
      code: 'hub-unreachable',
      found: expect.stringContaining('another part'),
    });
  });
});
