/** Sessions that are saved and restored, and what becomes of damaged files. */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createMemoryStore } from '../io/memory-store.ts';
import { loadModel, type Model } from './load-model.ts';
import type { Session } from './session.ts';

const TEXT = 'The number of amber fox is 48213. '.repeat(12);
const LONG = 'In a hole lived a fox who knew the number. '.repeat(20);

describe('a session that is saved', () => {
  let model: Model;
  let folder: string;
  beforeAll(async () => {
    model = await loadModel('nano', { precision: 'fp32', threads: 2, context: 4096 });
    folder = await mkdtemp(join(tmpdir(), 'keysieve-snapshot-'));
  });
  afterAll(async () => {
    await model.dispose();
    await rm(folder, { recursive: true });
  });

  const read = async (session: Session, text = TEXT) => {
    await session.generate(text, { maxTokens: 1 }).result;
    return session;
  };

  async function logits(session: Session, token: number): Promise<Float32Array> {
    for await (const { logits } of session.evaluate(Int32Array.of(token))) return logits;
    throw new Error('no pass');
  }

  it.for([
    { cachePrecision: 'f32' },
    { cachePrecision: 'f16' },
    { cachePrecision: 'int8' },
    { attention: { policy: 'dense' } },
    { attention: { policy: 'sieve', budget: 'fixed:20' }, denseFallback: false },
    { attention: { policy: 'sieve', budget: 'fixed:20' }, denseFallback: false, scan: 'basis' },
  ] as const)('goes on after it was restored as it would have: %o', async (options) => {
    await using session = await read(await model.createSession(options));
    const path = join(folder, 'session');
    const seen: number[] = [];
    await session.save(path, { onProgress: ({ done, total }) => seen.push(done / total) });
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    await using restored = await model.restore(path);
    expect(restored.tokens).toEqual(session.tokens);
    expect(await logits(restored, 50)).toEqual(await logits(session, 50));
    const prompt = `${TEXT}${LONG}`;
    const [expected, result] = [session, restored].map((each) => each.generate(prompt, { maxTokens: 8 }).result);
    expect((await result)?.tokens).toEqual((await expected)?.tokens);
    expect((await result)?.reusedTokens).toBe((await expected)?.reusedTokens);
  });

  it('may be saved quantized, and goes on near where it would have', async () => {
    await using session = await read(await model.createSession({ attention: { policy: 'dense' } }), LONG);
    const store = createMemoryStore();
    await session.save({ store, name: 'whole' });
    await session.save({ store, name: 'compact' }, { compact: true });
    const [whole, compact] = await Promise.all(
      ['whole', 'compact'].map(async (name) => (await store.open(name))?.bytes),
    );
    expect(compact?.length).toBeLessThan(0.45 * (whole?.length as number));
    await using restored = await model.restore(new Blob([compact as Uint8Array<ArrayBuffer>]));
    expect(restored.tokens).toEqual(session.tokens);
    const [expected, actual] = [await logits(session, 50), await logits(restored, 50)];
    expect(actual).not.toEqual(expected);
    for (const [i, x] of actual.entries()) expect(Math.abs(x - (expected[i] as number))).toBeLessThan(0.5);
  });

  it('is refused by another model and other settings, by what is no saved session, and by another version', async () => {
    await using session = await read(await model.createSession());
    const path = join(folder, 'foreign');
    await session.save(path);
    const restore = (options = {}, location: string | Blob = path, by = model) => by.restore(location, options);
    await expect(restore({ cachePrecision: 'f16' })).rejects.toMatchObject({ code: 'snapshot-foreign' });
    const scan = restore({ scan: 'basis' });
    await expect(scan).rejects.toMatchObject({ code: 'snapshot-foreign', found: '"signs"' });
    const context = 2 * model.config.contextLength;
    await using ropeExtended = await loadModel('nano', { precision: 'fp32', threads: 1, context });
    await expect(restore({}, path, ropeExtended)).rejects.toMatchObject({ code: 'snapshot-foreign' });
    await using rounded = await loadModel('nano', { precision: 'a8', threads: 1, context: 4096 });
    await expect(restore({}, path, rounded)).rejects.toMatchObject({ code: 'snapshot-foreign' });
    await expect(restore({}, join(folder, 'missing'))).rejects.toMatchObject({ code: 'snapshot-not-found' });
    await expect(restore({}, new Blob(['GGUF']))).rejects.toMatchObject({ code: 'snapshot-invalid' });
    const bytes = new Uint8Array(await readFile(path));
    bytes[8] = 2;
    await expect(restore({}, new Blob([bytes]))).rejects.toMatchObject({ code: 'snapshot-version' });
  });

  it('gives a shorter beginning of the same tokens, or an error, wherever a byte is damaged', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    await using session = await read(await model.createSession());
    const store = createMemoryStore();
    await session.save({ store, name: 'session' });
    const file = (await (await store.open('session'))?.bytes) as Uint8Array<ArrayBuffer>;
    let shorter = 0;
    for (let place = 0; place < 60; place++) {
      const damaged = file.slice();
      const at = place < 20 ? place * 5 : Math.floor(((place - 20) / 40) * file.length);
      damaged[at] = (damaged[at] as number) ^ (1 << (place % 8));
      const before = warned.mock.calls.length;
      let restored: Session;
      try {
        restored = await model.restore(new Blob([damaged]));
      } catch (error) {
        expect((error as { code: string }).code, `byte ${at}`).toMatch(/^snapshot-(invalid|version)$/);
        continue;
      }
      expect(restored.tokens.length, `byte ${at}`).toBeLessThan(session.tokens.length);
      expect(restored.tokens).toEqual(session.tokens.slice(0, restored.tokens.length));
      expect(warned.mock.calls.length).toBe(before + 1);
      shorter++;
      await restored.dispose();
    }
    expect(shorter).toBeGreaterThan(30);
    const cut = new Blob([file.slice(0, file.length - 100)]);
    await using restored = await model.restore(cut);
    expect(restored.tokens).toEqual(session.tokens.slice(0, restored.tokens.length));
    expect(restored.tokens.length).toBeGreaterThan(0);
    warned.mockRestore();
  });

  it('leaves the file that was there where saving is aborted or fails, and nothing else', async () => {
    await using session = await read(await model.createSession());
    const place = await mkdtemp(join(folder, 'abort-'));
    const path = join(place, 'session');
    await writeFile(path, 'old');
    const abort = AbortSignal.abort();
    await expect(session.save(path, { signal: abort })).rejects.toMatchObject({ code: 'aborted' });
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(place)).toEqual(['session']);
    await expect(session.save(join(path, 'below a file'))).rejects.toMatchObject({ code: 'output-unwritable' });
    await session.save(path);
    await expect(model.restore(path, { signal: abort })).rejects.toMatchObject({ code: 'aborted' });
    await (await model.restore(path)).dispose();
  });

  it('takes the place of a file alone: folders, pipes and devices stay what they are', async () => {
    await using session = await read(await model.createSession());
    const place = await mkdtemp(join(folder, 'places-'));
    const kept = join(place, 'documents');
    await mkdir(kept);
    await writeFile(join(kept, 'letter'), 'dear');
    execFileSync('mkfifo', [join(place, 'pipe')]);
    for (const path of [kept, `${kept}/`, join(place, 'pipe'), join(place, 'new/'), '/dev/null']) {
      await expect(session.save(path), path).rejects.toMatchObject({ code: 'output-unwritable' });
    }
    for (const path of ['', 'a\0b', 5, null]) {
      await expect(session.save(path as string)).rejects.toMatchObject({ code: 'invalid-argument' });
    }
    expect(await readFile(join(kept, 'letter'), 'utf8')).toBe('dear');
    expect(await readdir(place)).toEqual(['documents', 'pipe']);
  });

  it('is written where a link leads to', async () => {
    await using session = await read(await model.createSession());
    const place = await mkdtemp(join(folder, 'links-'));
    await mkdir(join(place, 'elsewhere'));
    await writeFile(join(place, 'elsewhere/session'), 'old');
    await symlink(join(place, 'elsewhere/session'), join(place, 'link'));
    await session.save(join(place, 'link'));
    expect(await readdir(place)).toEqual(['elsewhere', 'link']);
    await (await model.restore(join(place, 'elsewhere/session'))).dispose();
  });
});
