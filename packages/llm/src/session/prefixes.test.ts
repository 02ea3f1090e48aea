/** What prompts find in a prefix store, whoever has read it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createMemoryStore } from '../io/memory-store.ts';
import { type Store, unwritable } from '../io/store.ts';
import { PREFIX_FOLDER } from '../prefixes/index.ts';
import { loadModel, type Model } from './load-model.ts';
import { openFolder } from './open-prefixes.ts';
import type { SessionOptions } from './session-options.ts';

const TEXT = 'The number of amber fox is 48213. '.repeat(12);
const QUESTION = 'The number of amber fox is ';
const PAGE = 64;
/** Full pages of the text. */
const TEXT_PAGES = Math.floor(TEXT.length / PAGE);

describe('prompts that begin alike', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 2, context: 4096 });
  });
  afterAll(() => model.dispose());

  const answer = async (options: SessionOptions, prompt: string, maxTokens = 8) => {
    await using session = await model.createSession(options);
    return await session.generate(prompt, { maxTokens }).result;
  };

  it('are read once, by whichever session, and answered as if each had read them', async () => {
    const expected = await answer({}, TEXT + QUESTION);
    await using prefixes = model.openPrefixes();
    await answer({ prefixes }, TEXT);
    const result = await answer({ prefixes }, TEXT + QUESTION);
    expect(result.reusedTokens).toBe(TEXT_PAGES * PAGE);
    expect(result.tokens).toEqual(expected.tokens);
    expect(prefixes.stats().foundPages).toBe(TEXT_PAGES);
  });

  it('share the memory of what they share', async () => {
    await using prefixes = model.openPrefixes();
    const sessions = await Promise.all([1, 2, 3].map(() => model.createSession({ prefixes })));
    for (const session of sessions) await session.generate(TEXT, { maxTokens: 1 }).result;
    const { pages, bytes } = prefixes.stats();
    expect(pages).toBe(TEXT_PAGES);
    for (const session of sessions) await session.dispose();
    expect(prefixes.stats().bytes).toBe(bytes);
  });

  it('know where they depart from what was kept', async () => {
    await using prefixes = model.openPrefixes();
    await answer({ prefixes }, TEXT, 1);
    const other = `${TEXT.slice(0, 200)}#${TEXT.slice(201)}`;
    const expected = { position: 200, cached: TEXT[200], prompt: '#' };
    const result = await answer({ prefixes }, other, 1);
    expect(result).toMatchObject({ reusedTokens: 3 * PAGE, firstDifference: expected });
    // A session that has read it itself needs no store to know.
    await using session = await model.createSession();
    await session.generate(TEXT, { maxTokens: 1 }).result;
    expect(await session.generate(other, { maxTokens: 1 }).result).toMatchObject({
      reusedTokens: 200,
      firstDifference: expected,
    });
    expect((await session.generate(other + TEXT, { maxTokens: 1 }).result).firstDifference).toBeUndefined();
  });

  it('find nothing that was read with other settings', async () => {
    await using prefixes = model.openPrefixes();
    await answer({ prefixes }, TEXT, 1);
    for (const options of [
      { cachePrecision: 'int8' },
      { attention: { policy: 'sieve', budget: 'fixed:20' } },
      { prefill: { policy: 'dense' } },
      { encodings: ['summary'] },
      { scan: 'basis' },
    ] as const) {
      expect((await answer({ prefixes, ...options }, TEXT, 1)).reusedTokens, JSON.stringify(options)).toBe(0);
    }
  });

  it('give up what was used longest ago, and the ends of prompts before their beginnings', async () => {
    await using probe = model.openPrefixes();
    await answer({ prefixes: probe }, TEXT, 1);
    const pageBytes = probe.stats().bytes / TEXT_PAGES;
    await using prefixes = model.openPrefixes({ memoryLimit: 8 * pageBytes });
    await answer({ prefixes }, TEXT, 1);
    const other = 'x'.repeat(5 * PAGE);
    await answer({ prefixes }, other, 1);
    expect(prefixes.stats()).toMatchObject({ pages: 8, bytes: 8 * pageBytes });
    expect((await answer({ prefixes }, `${other}y`, 1)).reusedTokens).toBe(5 * PAGE);
    expect((await answer({ prefixes }, TEXT, 1)).reusedTokens).toBe((8 - 5) * PAGE);
  });

  it('keep what was read when reading is aborted', async () => {
    await using prefixes = model.openPrefixes();
    const controller = new AbortController();
    const long = TEXT.repeat(4);
    {
      await using session = await model.createSession({ prefixes });
      const onPrefill = ({ done }: { done: number }) => done > 0 && controller.abort();
      await session.generate(long, { signal: controller.signal, onPrefill }).result;
    }
    const { reusedTokens } = await answer({ prefixes }, long, 1);
    expect(reusedTokens).toBeGreaterThan(0);
    expect(reusedTokens).toBeLessThan(long.length - PAGE);
  });

  describe('in a folder', () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'keysieve-prefixes-'));
    });
    afterAll(() => rm(folder, { recursive: true }));

    it('are found by the next run, and read on as in the first', async () => {
      {
        await using prefixes = model.openPrefixes({ folder });
        await answer({ prefixes }, TEXT);
        await prefixes.flush();
      }
      const expected = await answer({}, TEXT + QUESTION);
      await using prefixes = model.openPrefixes({ folder });
      const result = await answer({ prefixes }, TEXT + QUESTION);
      expect(result.reusedTokens).toBe(TEXT_PAGES * PAGE);
      expect(prefixes.stats()).toMatchObject({ loadedPages: TEXT_PAGES, foundPages: 0 });
      expect(result.tokens).toEqual(expected.tokens);
      const departing = await answer({ prefixes }, `${TEXT.slice(0, 100)}!`, 1);
      expect(departing).toMatchObject({ reusedTokens: PAGE, firstDifference: { position: 100, prompt: '!' } });
    });

    it('are written and read by several at once', async () => {
      await Promise.all(
        [1, 2, 3].map(async () => {
          await using prefixes = model.openPrefixes({ folder, memoryLimit: 0 });
          await answer({ prefixes }, TEXT.toUpperCase());
        }),
      );
      await using prefixes = model.openPrefixes({ folder });
      expect((await answer({ prefixes }, TEXT.toUpperCase(), 1)).reusedTokens).toBe(TEXT_PAGES * PAGE);
    });

    it('are read again from a damaged page on, which is written anew', async () => {
      const store = createMemoryStore();
      {
        await using prefixes = model.openPrefixes({ folder: store });
        await answer({ prefixes }, TEXT);
      }
      const pages = await store.list(PREFIX_FOLDER);
      expect(pages).toHaveLength(TEXT_PAGES);
      const files = pages.toSorted((a, b) => b.modifiedMs - a.modifiedMs);
      const editor = await store.edit(files[2]?.name as string);
      await editor.write(Uint8Array.of(99), 5000);
      const expected = await answer({}, TEXT + QUESTION);
      await using prefixes = model.openPrefixes({ folder: store });
      const result = await answer({ prefixes }, TEXT + QUESTION);
      expect(result.reusedTokens).toBe(2 * PAGE);
      expect(result.tokens).toEqual(expected.tokens);
      await prefixes.flush();
      await using again = model.openPrefixes({ folder: store });
      expect((await answer({ prefixes: again }, TEXT, 1)).reusedTokens).toBe(TEXT_PAGES * PAGE);
    });

    it('are written as soon as there is room again, with those that were read while there was none', async () => {
      const store = createMemoryStore();
      let isFull = true;
      const folder: Store = {
        ...store,
        edit: async (name) => {
          if (isFull) throw unwritable(name, { code: 'ENOSPC' });
          return await store.edit(name);
        },
      };
      const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
      {
        await using prefixes = model.openPrefixes({ folder });
        await answer({ prefixes }, TEXT, 1);
        await answer({ prefixes }, TEXT + QUESTION, 1);
        await prefixes.flush();
        expect(warn).toHaveBeenCalledOnce();
        expect(await store.list(PREFIX_FOLDER)).toEqual([]);
        isFull = false;
        await answer({ prefixes }, TEXT + QUESTION, 1);
      }
      warn.mockRestore();
      expect(await store.list(PREFIX_FOLDER)).toHaveLength(TEXT_PAGES);
      await using prefixes = model.openPrefixes({ folder: store });
      expect((await answer({ prefixes }, TEXT + QUESTION, 1)).reusedTokens).toBe(TEXT_PAGES * PAGE);
    });

    it.each(['', 'a\0b', 5, null])('are not looked for in what is no folder: %j', (path) => {
      const expected = expect.objectContaining({ code: 'invalid-argument' });
      expect(() => model.openPrefixes({ folder: path as string })).toThrow(expected);
      expect(() => openFolder(path as string)).toThrow(expected);
    });

    it('take no more bytes than the limit', async () => {
      const store = createMemoryStore();
      await using prefixes = model.openPrefixes({ folder: store, folderLimit: 400_000 });
      for (const letter of 'abcdef') await answer({ prefixes }, letter.repeat(200), 1);
      await prefixes.flush();
      const pages = await store.list(PREFIX_FOLDER);
      expect(pages.length).toBeGreaterThan(0);
      expect(pages.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(400_000);
    });

    it('take no more bytes than the limit and a little where several write, each of which knows its own alone', async () => {
      const store = createMemoryStore();
      const bytes = async () => (await store.list(PREFIX_FOLDER)).reduce((sum, { byteLength }) => sum + byteLength, 0);
      const folderLimit = 1_000_000;
      await using first = model.openPrefixes({ folder: store, folderLimit });
      await using second = model.openPrefixes({ folder: store, folderLimit });
      for (const letter of 'abcdefgh') {
        for (const [prefixes, text] of [
          [first, letter],
          [second, letter.toUpperCase()],
        ] as const) {
          await answer({ prefixes }, text.repeat(4 * PAGE), 1);
          await prefixes.flush();
        }
        expect(await bytes()).toBeLessThanOrEqual(folderLimit * (1 + 2 / 16));
      }
      expect(await bytes()).toBeGreaterThan(folderLimit / 2);
    });
  });
});
