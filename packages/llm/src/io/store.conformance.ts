/** What every store must do. */
import { describe, expect, it } from 'vitest';
import { pattern } from './source.conformance.ts';
import { readWhole } from './source.ts';
import { readJson, type Store, temporaryName, writeFile, writeJson } from './store.ts';

export interface StoreRig {
  /** An empty store. */
  create(): Promise<Store>;
  /** The store of that name as another process would see it; undefined where it is this one's alone. */
  reopen?: ((store: Store) => Promise<Store>) | undefined;
}

export async function contentOf(store: Store, name: string): Promise<Uint8Array | undefined> {
  await using file = await store.open(name);
  return file && (await readWhole(file, 2 ** 20));
}

export const put = (store: Store, name: string, bytes: Uint8Array): Promise<void> =>
  writeFile(store, name, (editor) => editor.write(bytes, 0));

const namesOf = async (store: Store, folder?: string) => (await store.list(folder)).map(({ name }) => name);

export function describeStore(name: string, rig: StoreRig): void {
  describe(`a store of ${name}`, () => {
    it('gives back what was written', async () => {
      const store = await rig.create();
      const bytes = pattern(70_000);
      expect(await store.open('a/b/c.bin')).toBeUndefined();
      await put(store, 'a/b/c.bin', bytes);
      await using file = await store.open('a/b/c.bin');
      expect(file).toMatchObject({ byteLength: bytes.length });
      expect(file?.modifiedMs).toBeGreaterThan(1e12);
      const target = new Uint8Array(100);
      expect(await file?.read(target, 69_950)).toBe(50);
      expect(target.subarray(0, 50)).toEqual(bytes.subarray(69_950));
      if (file?.bytes !== undefined) expect(file.bytes).toEqual(bytes);
    });

    it('is written at any place, grown, cut and read while it is written', async () => {
      const store = await rig.create();
      const editor = await store.edit('file');
      expect(editor.byteLength).toBe(0);
      await editor.write(Uint8Array.of(1, 2, 3), 5);
      expect(editor.byteLength).toBe(8);
      await editor.write(Uint8Array.of(9), 0);
      await editor.truncate(7);
      await editor.truncate(9);
      const target = new Uint8Array(12).fill(77);
      expect(await editor.read(target, 0)).toBe(9);
      expect([...target]).toEqual([9, 0, 0, 0, 0, 1, 2, 0, 0, 77, 77, 77]);
      await editor.flush();
      expect(await contentOf(store, 'file')).toEqual(target.subarray(0, 9));
      await editor.close();
      await editor.close();
      await using again = await store.edit('file');
      expect(again.byteLength).toBe(9);
      await again.write(Uint8Array.of(4), 9);
      await again.close();
      expect((await contentOf(store, 'file'))?.at(-1)).toBe(4);
    });

    it('renames a file over another', async () => {
      const store = await rig.create();
      await put(store, 'old', Uint8Array.of(1));
      await put(store, 'folder/new', Uint8Array.of(2));
      await store.rename('old', 'folder/new');
      expect(await contentOf(store, 'folder/new')).toEqual(Uint8Array.of(1));
      expect(await store.open('old')).toBeUndefined();
      await expect(store.rename('none', 'folder/new')).rejects.toMatchObject({ code: 'cache-folder-unwritable' });
      expect(await contentOf(store, 'folder/new')).toEqual(Uint8Array.of(1));
    });

    it('lists what is there, by folder', async () => {
      const store = await rig.create();
      expect(await store.list()).toEqual([]);
      expect(await store.list('none')).toEqual([]);
      for (const [i, each] of ['b/2', 'b/1', 'a', 'b/c/3', 'bc/4'].entries()) {
        await put(store, each, new Uint8Array(i));
      }
      expect(await namesOf(store)).toEqual(['a', 'b/1', 'b/2', 'b/c/3', 'bc/4']);
      expect(await namesOf(store, 'b')).toEqual(['b/1', 'b/2', 'b/c/3']);
      expect((await store.list('b'))[2]).toMatchObject({ byteLength: 3, modifiedMs: expect.any(Number) });
    });

    it('removes files and folders', async () => {
      const store = await rig.create();
      for (const each of ['b/2', 'a', 'b/c/3', 'bc']) await put(store, each, new Uint8Array(1));
      await store.remove('b');
      await store.remove('b');
      await store.remove('none/at/all');
      expect(await namesOf(store)).toEqual(['a', 'bc']);
      await store.remove('a');
      expect(await store.open('a')).toBeUndefined();
      expect(await store.open('b')).toBeUndefined();
    });

    it('writes a file whole or not at all, and leaves nothing behind', async () => {
      const store = await rig.create();
      await put(store, 'kept', Uint8Array.of(1));
      const failing = writeFile(store, 'kept', async (editor) => {
        await editor.write(Uint8Array.of(2, 2), 0);
        throw new Error('enough');
      });
      await expect(failing).rejects.toThrow('enough');
      expect(await contentOf(store, 'kept')).toEqual(Uint8Array.of(1));
      expect(await namesOf(store)).toEqual(['kept']);
    });

    it('keeps small findings, and takes broken ones for none', async () => {
      const store = await rig.create();
      expect(await readJson(store, 'found.json')).toBeUndefined();
      await writeJson(store, 'found.json', { a: [1, 'é'] });
      expect(await readJson(store, 'found.json')).toEqual({ a: [1, 'é'] });
      await put(store, 'found.json', new TextEncoder().encode('{"a":'));
      expect(await readJson(store, 'found.json')).toBeUndefined();
      await put(store, 'found.json', new TextEncoder().encode(`"${'x'.repeat(2 ** 20)}"`));
      expect(await readJson(store, 'found.json')).toBeUndefined();
    });

    it.each(['', '/', 'a/', '/a', 'a//b', '.', '..', 'a/../b', 'a\\b', 'a\0'])('refuses the name %j', async (wrong) => {
      const store = await rig.create();
      await expect(store.open(wrong)).rejects.toMatchObject({ code: 'invalid-argument' });
      await expect(store.edit(wrong)).rejects.toMatchObject({ code: 'invalid-argument' });
      await expect(store.remove(wrong)).rejects.toMatchObject({ code: 'invalid-argument' });
    });

    it('takes temporary names that do not meet', async () => {
      const store = await rig.create();
      const names = Array.from({ length: 10 }, temporaryName);
      await Promise.all(names.map((each, i) => put(store, each, Uint8Array.of(i))));
      expect(await Promise.all(names.map((each) => contentOf(store, each)))).toEqual(
        names.map((_, i) => Uint8Array.of(i)),
      );
    });

    const { reopen } = rig;
    it.skipIf(reopen === undefined)('is there for the next process', async () => {
      const store = await rig.create();
      await put(store, 'a/b', Uint8Array.of(5));
      expect(store.persistent).toBe(true);
      const other = await (reopen as NonNullable<typeof reopen>)(store);
      expect(await contentOf(other, 'a/b')).toEqual(Uint8Array.of(5));
    });
  });
}
