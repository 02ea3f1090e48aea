import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { readCalibration, writeCalibration } from '../model/index.ts';
import { openModelFile } from './model-file.ts';
import { MAX_KL } from './precision.ts';

const files = useTestFiles();
const near = (precision: keyof typeof MAX_KL) => ({ kl: 0.9 * MAX_KL[precision], tokens: 256 });
const far = (precision: keyof typeof MAX_KL) => ({ kl: 1.1 * MAX_KL[precision], tokens: 256 });

describe('the precision', () => {
  it.each([
    { w8a8: near('w8a8'), a8: near('a8'), chosen: 'w8a8', kl: near('w8a8').kl },
    { w8a8: far('w8a8'), a8: near('a8'), chosen: 'a8', kl: near('a8').kl },
    { w8a8: far('w8a8'), a8: far('a8'), chosen: 'fp32', kl: far('a8').kl },
  ])('is the fastest that is near enough: $chosen', async ({ w8a8, a8, chosen, kl }) => {
    const cacheFolder = join(files.folder(), chosen);
    await using file = await openModelFile('nano', { cacheFolder });
    await writeCalibration(file.gguf, 'w8a8', cacheFolder, w8a8);
    await writeCalibration(file.gguf, 'a8', cacheFolder, a8);
    expect(await file.choosePrecision()).toEqual({ chosen, kl, tokens: 256 });
  });

  it('is measured where it is not known, and kept', async () => {
    const cacheFolder = join(files.folder(), 'measured');
    await using file = await openModelFile('nano', { cacheFolder, threads: 1 });
    // The embedded model has no quantised matrices: nothing of it is rounded.
    expect(await file.choosePrecision()).toMatchObject({ chosen: 'w8a8', tokens: 256 });
    expect((await readCalibration(file.gguf, 'w8a8', cacheFolder))?.kl).toBeLessThan(1e-9);
    expect(await readCalibration(file.gguf, 'a8', cacheFolder)).toBeUndefined();
  });

  it.each([64, 255])('is measured by what fits into a context of %i tokens', async (contextLength) => {
    const bytes = await readFile(new URL('../../../../models/nano/nano.gguf', import.meta.url));
    const key = Buffer.from('llama.context_length');
    bytes.writeUInt32LE(contextLength, bytes.indexOf(key) + key.length + 4);
    const cacheFolder = join(files.folder(), `context-${contextLength}`);
    await using file = await openModelFile(await files.save(bytes), { cacheFolder, threads: 1 });
    expect(await file.choosePrecision()).toMatchObject({ chosen: 'w8a8', tokens: contextLength });
  });

  it('that is asked for is not measured', async () => {
    const cacheFolder = join(files.folder(), 'asked');
    await using file = await openModelFile('nano', { cacheFolder, precision: 'fp32' });
    expect(await file.choosePrecision()).toBe('fp32');
    expect(await readCalibration(file.gguf, 'w8a8', cacheFolder)).toBeUndefined();
  });
});
