import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { useTestFiles } from '../../test/gguf-files.ts';
import { writeGguf } from '../../test/gguf-writer.ts';
import { createRandom } from '../../test/random.ts';
import { randomTensor } from '../../test/random-tensor.ts';
import { type GgufFile, openGguf } from '../gguf/index.ts';
import type { MatmulPrecision } from './weight-encoding.ts';
import { productEncoding } from './weight-encoding.ts';
import type { PrepareOptions, PrepareProgress } from './weights-cache.ts';
import { prepareWeights } from './weights-cache.ts';
import { hashFile } from './weights-file.ts';
import { weightsFileName } from './weights-location.ts';
import { WeightsPlan } from './weights-plan.ts';

const files = useTestFiles();
let cacheFolder = '';
let caches = 0;
beforeEach(() => {
  cacheFolder = join(files.folder(), `cache-${caches++}`);
});

const tensors = (seed: number) => {
  const random = createRandom(seed);
  return [randomTensor(random, 'a', 'Q4_1', [256, 300]), randomTensor(random, 'b', 'Q8_0', [256, 300])];
};

async function openModel(seed = 1): Promise<GgufFile> {
  return openGguf(await files.save(writeGguf({ tensors: tensors(seed) })));
}

async function prepare(gguf: GgufFile, options: PrepareOptions & { precision?: MatmulPrecision } = {}) {
  const { precision = 'fp32' } = options;
  const plan = new WeightsPlan();
  for (const tensor of gguf.tensors.values()) plan.place([tensor], productEncoding(tensor, precision), 'product');
  const { weights, built } = await prepareWeights(gguf, plan, precision, { cacheFolder, ...options });
  return { folder: dirname(weights.path as string), built, plan };
}

const weightsIn = (folder: string) => join(folder, weightsFileName);
const filesOf = (folder: string) => {
  const path = join(cacheFolder, folder);
  return existsSync(path) ? readdirSync(path) : [];
};
const entries = () => [...filesOf('segments'), ...filesOf('tmp')];

describe('a cache of weights files', () => {
  it('builds once and gives the same file the next time', async () => {
    await using gguf = await openModel();
    const first = await prepare(gguf);
    const second = await prepare(gguf);
    expect(first.built).toBe(true);
    expect(second).toMatchObject({ built: false, folder: first.folder });
    expect((await readFile(weightsIn(first.folder))).length).toBe(first.plan.byteLength);
    expect(entries()).toHaveLength(1);
  });

  it('knows a model by its content, not by its path', async () => {
    await using gguf = await openModel(1);
    await using same = await openModel(1);
    await using other = await openModel(2);
    const { folder } = await prepare(gguf);
    expect(await prepare(same)).toMatchObject({ built: false, folder });
    expect((await prepare(other)).folder).not.toBe(folder);
    expect((await prepare(gguf, { precision: 'a8' })).folder).not.toBe(folder);
    expect(entries()).toHaveLength(3);
  });

  const damages: Record<string, (folder: string) => Promise<unknown>> = {
    'a flipped bit in the weights': async (folder) => {
      const file = await open(weightsIn(folder), 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, 5000);
      await file.write(Buffer.of((byte[0] as number) ^ 1), 0, 1, 5000);
      await file.close();
    },
    'weights that were cut short': (folder) => truncate(weightsIn(folder), 5000),
    'missing weights': (folder) => rm(weightsIn(folder)),
    'a missing manifest': (folder) => rm(join(folder, 'manifest.json')),
    'a manifest that is not JSON': (folder) => writeFile(join(folder, 'manifest.json'), '{"builder": 1'),
    'a manifest that is a pipe': async (folder) => {
      await rm(join(folder, 'manifest.json'));
      execFileSync('mkfifo', [join(folder, 'manifest.json')]);
    },
    'a manifest that is a link': async (folder) => {
      await rename(join(folder, 'manifest.json'), `${cacheFolder}/aside`);
      await symlink(`${cacheFolder}/aside`, join(folder, 'manifest.json'));
    },
    'a manifest of a gigabyte': async (folder) => {
      const file = await open(join(folder, 'manifest.json'), 'r+');
      await file.truncate(2 ** 30);
      await file.close();
    },
    'weights that are a link': async (folder) => {
      await rename(weightsIn(folder), `${cacheFolder}/aside`);
      await symlink(`${cacheFolder}/aside`, weightsIn(folder));
    },
    'a manifest that is null': (folder) => writeFile(join(folder, 'manifest.json'), 'null'),
    'a manifest of another builder': async (folder) => {
      const path = join(folder, 'manifest.json');
      await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), builder: 0 }));
    },
    'an empty folder in its place': async (folder) => {
      await rm(folder, { recursive: true });
      await mkdir(folder);
    },
    'a file in its place': async (folder) => {
      await rm(folder, { recursive: true });
      await writeFile(folder, 'not a folder');
    },
  };
  it.each(Object.keys(damages))('is built anew after %s', async (name) => {
    await using gguf = await openModel();
    const { folder } = await prepare(gguf);
    const intact = await hashFile(weightsIn(folder), {});
    await damages[name]?.(folder);
    const again = await prepare(gguf);
    expect(again.built).toBe(true);
    expect(await hashFile(weightsIn(again.folder), {})).toBe(intact);
    expect(await prepare(gguf)).toMatchObject({ built: false });
    expect(entries()).toHaveLength(1);
  });

  describe('of a large model', () => {
    const large = (byte: number) => {
      const tensor = randomTensor(createRandom(1), 'a', 'Q8_0', [256, 20_000]);
      tensor.data[5_000_000] = byte;
      return writeGguf({ tensors: [tensor] });
    };

    it('looks at samples of the weights, or at all of them where that is asked for or their time has changed', async () => {
      await using gguf = await openGguf(await files.save(large(1)));
      const { folder } = await prepare(gguf);
      const { mtime, atime } = await stat(weightsIn(folder));
      const file = await open(weightsIn(folder), 'r+');
      // Between two samples.
      await file.write(Buffer.of(1, 2, 3, 4), 0, 4, 12_000);
      await file.close();
      expect((await prepare(gguf)).built).toBe(true);
      const again = await open(weightsIn(folder), 'r+');
      await again.write(Buffer.of(1, 2, 3, 4), 0, 4, 12_000);
      await again.close();
      const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as { modifiedMs: number };
      await utimes(weightsIn(folder), atime, new Date(mtime));
      const { mtimeMs } = await stat(weightsIn(folder));
      await writeFile(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, modifiedMs: mtimeMs }));
      expect((await prepare(gguf)).built).toBe(false);
      expect((await prepare(gguf, { verify: true })).built).toBe(true);
    });

    it('knows it by its time, too', async () => {
      const path = await files.save(large(1));
      await using gguf = await openGguf(path);
      const { folder } = await prepare(gguf);
      await utimes(path, new Date(), new Date(2e12));
      await using touched = await openGguf(path);
      expect((await prepare(touched)).folder).not.toBe(folder);
    });
  });

  it('serves builds that run at the same time', async () => {
    const models = await Promise.all(Array.from({ length: 4 }, () => openModel()));
    const prepared = await Promise.all(models.map((gguf) => prepare(gguf)));
    const hashes = await Promise.all(prepared.map(({ folder }) => hashFile(weightsIn(folder), {})));
    expect(new Set(hashes).size).toBe(1);
    expect(new Set(prepared.map(({ folder }) => folder)).size).toBe(1);
    expect(entries()).toHaveLength(1);
    await Promise.all(models.map((gguf) => gguf.close()));
  });

  it('tells of its progress, to the end', async () => {
    await using gguf = await openModel();
    const seen: PrepareProgress[] = [];
    await prepare(gguf, { onProgress: (progress) => seen.push(progress) });
    await prepare(gguf, { onProgress: (progress) => seen.push(progress) });
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['hash', 'build', 'verify']));
    for (const phase of ['hash', 'build', 'verify']) {
      const steps = seen.filter((step) => step.phase === phase);
      expect(steps.at(-1)?.done).toBe(steps.at(-1)?.total);
      expect(steps.map(({ done }) => done)).toEqual(steps.map(({ done }) => done).sort((a, b) => a - b));
    }
  });

  it.each(['hash', 'build', 'verify'] as const)('leaves nothing behind when aborted in %s', async (phase) => {
    await using gguf = await openModel();
    if (phase === 'verify') await prepare(gguf);
    await using again = await openModel();
    const before = entries();
    const abort = new AbortController();
    const onProgress = (progress: PrepareProgress) => {
      if (progress.phase === phase) abort.abort(new Error('enough'));
    };
    await expect(prepare(again, { signal: abort.signal, onProgress })).rejects.toMatchObject({
      code: 'aborted',
      cause: new Error('enough'),
    });
    expect(entries()).toEqual(before);
    expect((await prepare(again)).folder).toContain(cacheFolder);
  });

  it('refuses weights that are not numbers, and leaves nothing behind', async () => {
    const [a, b] = tensors(1);
    b?.data.set([0x00, 0x7e], 34 * 40); // a NaN for the scale of block 40
    await using gguf = await openGguf(await files.save(writeGguf({ tensors: [a, b].filter((t) => t !== undefined) })));
    await expect(prepare(gguf)).rejects.toMatchObject({ code: 'not-a-number' });
    expect(entries()).toEqual([]);
  });

  it('says so when its folder cannot be written', async () => {
    await using gguf = await openModel();
    const blocked = await files.save('a file');
    await expect(prepare(gguf, { cacheFolder: join(blocked, 'cache') })).rejects.toMatchObject({
      code: 'cache-folder-unwritable',
      found: 'ENOTDIR',
    });
  });
});
