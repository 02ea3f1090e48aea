import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { readCalibration, writeCalibration } from '../model/index.ts';
import { openModelFile } from './model-file.ts';
import { LARGEST_KL } from './precision.ts';

const files = useTestFiles();
const [near, far] = [
  { kl: 0.9 * LARGEST_KL, tokens: 256 },
  { kl: 1.1 * LARGEST_KL, tokens: 256 },
] as const;

describe('the precision', () => {
  it.each([
    { fastest: near, fast: near, chosen: 'fastest', kl: near.kl },
    { fastest: far, fast: near, chosen: 'fast', kl: near.kl },
    { fastest: far, fast: far, chosen: 'exact', kl: far.kl },
  ])('is the fastest that is near enough: $chosen', async ({ fastest, fast, chosen, kl }) => {
    const cacheFolder = join(files.folder(), chosen);
    await using file = await openModelFile('nano', { cacheFolder });
    await writeCalibration(file.gguf, 'fastest', cacheFolder, fastest);
    await writeCalibration(file.gguf, 'fast', cacheFolder, fast);
    expect(await file.choosePrecision()).toEqual({ chosen, kl, tokens: 256 });
  });

  it('is measured where it is not known, and kept', async () => {
    const cacheFolder = join(files.folder(), 'measured');
    await using file = await openModelFile('nano', { cacheFolder, threads: 1 });
    // The embedded model has no quantised matrices: nothing of it is rounded.
    expect(await file.choosePrecision()).toMatchObject({ chosen: 'fastest', tokens: 256 });
    expect((await readCalibration(file.gguf, 'fastest', cacheFolder))?.kl).toBeLessThan(1e-9);
    expect(await readCalibration(file.gguf, 'fast', cacheFolder)).toBeUndefined();
  });

  it('that is asked for is not measured', async () => {
    const cacheFolder = join(files.folder(), 'asked');
    await using file = await openModelFile('nano', { cacheFolder, precision: 'exact' });
    expect(await file.choosePrecision()).toBe('exact');
    expect(await readCalibration(file.gguf, 'fastest', cacheFolder)).toBeUndefined();
  });
});
