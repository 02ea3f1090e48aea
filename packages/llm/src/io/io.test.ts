import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBlob } from './blob-source.ts';
import { createMemoryStore } from './memory-store.ts';
import { describeSource, pattern } from './source.conformance.ts';
import { describeStore, put } from './store.conformance.ts';
import { openUrl } from './url-source.ts';

describeSource('a Blob', { open: async (bytes) => openBlob(new Blob([bytes])) });
describeSource('a store in memory', {
  async open(bytes) {
    const store = createMemoryStore();
    await put(store, 'file', bytes);
    return (await store.open('file')) as NonNullable<Awaited<ReturnType<typeof store.open>>>;
  },
});
describeStore('memory', { create: async () => createMemoryStore() });

describe('a File', () => {
  it('is called by its name, and knows its time', () => {
    const file = new File(['x'], 'model.gguf', { lastModified: 1234 });
    expect(openBlob(file)).toMatchObject({ name: 'model.gguf', byteLength: 1, modifiedMs: 1234 });
  });
});

/** What the server has, and how it answers. */
const served = new Map<string, { bytes: Uint8Array; etag?: string; ranges?: boolean; status?: number }>();
let server: Server;
beforeAll(async () => {
  server = createServer((request, response) => {
    const file = served.get(request.url ?? '');
    const { bytes = new Uint8Array(0), etag, ranges = true, status } = file ?? { status: 404 };
    if (etag !== undefined) response.setHeader('ETag', etag);
    if (status !== undefined) return response.writeHead(status).end();
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (!ranges) return response.writeHead(200).end(bytes);
    const [start, end] = [Number(from), Math.min(Number(to), bytes.length - 1)];
    if (start >= bytes.length) return response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}` }).end();
    response.writeHead(206, { 'Content-Range': `bytes ${start}-${end}/${bytes.length}` });
    return response.end(bytes.subarray(start, end + 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => server.close());

const urlOf = (path: string) => new URL(path, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);

describeSource('a URL', {
  async open(bytes) {
    const path = `/${served.size}`;
    served.set(path, { bytes });
    return openUrl(urlOf(path));
  },
  openMissing: () => openUrl(urlOf('/missing')),
});

describe('a URL', () => {
  it('must be of a server that sends ranges', async () => {
    served.set('/whole', { bytes: pattern(10), ranges: false });
    await expect(openUrl(urlOf('/whole'))).rejects.toMatchObject({
      fault: 'unreadable',
      found: expect.stringContaining('ranges'),
    });
    served.set('/broken', { bytes: pattern(10), status: 500 });
    await expect(openUrl(urlOf('/broken'))).rejects.toMatchObject({ fault: 'unreadable', found: 'status 500' });
    await expect(openUrl(new URL('http://127.0.0.1:1/'))).rejects.toMatchObject({ fault: 'unreadable' });
  });

  it('must stay what it was', async () => {
    served.set('/changing', { bytes: pattern(10), etag: '"1"' });
    await using source = await openUrl(urlOf('/changing'));
    expect(await source.read(new Uint8Array(4), 0)).toBe(4);
    served.set('/changing', { bytes: pattern(10), etag: '"2"' });
    const later = source.read(new Uint8Array(4), 4);
    await expect(later).rejects.toMatchObject({
      fault: 'unreadable',
      found: expect.stringContaining('another version'),
    });
  });
});
