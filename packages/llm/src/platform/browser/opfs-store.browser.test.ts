/** The browser's own storage, from a page; the worker of an engine writes to it in place: `engine.browser.test.ts`. */
import { afterAll, describe, expect, it } from 'vitest';
import { describeSource } from '../../io/source.conformance.ts';
import { describeStore, put } from '../../io/store.conformance.ts';
import { createOpfsStore } from './opfs-store.ts';

let folders = 0;
const newStore = () => createOpfsStore(`test-${folders++}`);
afterAll(async () => {
  const root = await navigator.storage.getDirectory();
  for (let i = 0; i < folders; i++) await root.removeEntry(`test-${i}`, { recursive: true }).catch(() => {});
});

describeStore('the browser', {
  create: async () => newStore(),
  reopen: async () => createOpfsStore(`test-${folders - 1}`),
});
describeSource('a file of the browser', {
  async open(bytes) {
    const store = newStore();
    await put(store, 'file', bytes);
    return (await store.open('file')) as NonNullable<Awaited<ReturnType<typeof store.open>>>;
  },
});

describe('a store of the browser', () => {
  it('is empty where nothing was ever written', async () => {
    expect(await createOpfsStore('never').list()).toEqual([]);
    expect(await createOpfsStore('never').open('a')).toBeUndefined();
  });
});
