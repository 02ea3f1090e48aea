import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { loadModel } from './load-model.ts';

const files = useTestFiles();
const PROMPT = 'The number of amber fox is 48213. '.repeat(20);

describe('a session that scans by a basis', () => {
  it('answers, keeps what it found, finds it again, and takes no damaged one', async () => {
    const cacheFolder = join(files.folder(), 'scans');
    await using model = await loadModel('nano', { cacheFolder, precision: 'fp32', threads: 1 });
    const answer = async () => {
      await using session = await model.createSession({ scan: 'basis', denseFallback: false });
      return (await session.generate(PROMPT, { maxTokens: 8, temperature: 0 }).result).text;
    };
    const first = await answer();
    expect(first).toContain('The');
    const folder = join(cacheFolder, 'scan-bases');
    const [name] = await readdir(folder);
    const path = join(folder, name as string);
    const kept = JSON.parse(await readFile(path, 'utf8'));
    expect(kept.bases).toHaveLength(model.config.layers * model.config.keyValueHeads);

    kept.bases[0] = { dimensions: [1, 1], weights: [0, -1] };
    await writeFile(path, JSON.stringify(kept));
    await using again = await loadModel('nano', { cacheFolder, precision: 'fp32', threads: 1 });
    await using session = await again.createSession({ scan: 'basis', denseFallback: false });
    expect((await session.generate(PROMPT, { maxTokens: 8, temperature: 0 }).result).text).toBe(first);
    expect(JSON.parse(await readFile(path, 'utf8')).bases[0]).not.toEqual(kept.bases[0]);
  });

  it('may be certified, and kept in int8 alone', async () => {
    await using model = await loadModel('nano', { precision: 'fp32', threads: 1 });
    await using session = await model.createSession({
      scan: 'basis',
      attention: { policy: 'sieve', certify: 0.05 },
      denseFallback: false,
    });
    const { answer } = await session.generate(PROMPT, { maxTokens: 4, temperature: 0 }).result;
    expect(answer.attention).toMatchObject({ kind: 'certified' });
    await using int8 = await model.createSession({ scan: 'basis', cachePrecision: 'int8', denseFallback: false });
    expect((await int8.generate(PROMPT, { maxTokens: 8, temperature: 0 }).result).text).toContain('The');
  });

  it('is one of the scans that there are', async () => {
    await using model = await loadModel('nano', { precision: 'fp32', threads: 1 });
    await expect(model.createSession({ scan: 'colours' as 'basis' })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });
});
