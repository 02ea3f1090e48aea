/**
 * Keeps weights files in the user's cache folder, so that a model is prepared once. An entry is a folder named after
 * its content, with the weights and a manifest; it is built beside its place and renamed into it. Before every use its size,
 * its time and samples of it are compared with the manifest, and all of it where they differ or where that is asked for: one
 * that is broken, cut short or changed is built anew.
 *
 * Graphs are not cached: they cost milliseconds to build, and what is not kept need not be trusted.
 */
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { GgufFile } from '../gguf/index.ts';
import { readRegularFile } from '../regular-file.ts';
import { throwIfAborted } from './abort.ts';
import { cacheFolderPath, openCacheFolder, unwritable } from './cache-folder.ts';
import { weightsFileName } from './graph.ts';
import type { MatmulPrecision } from './weight-encoding.ts';
import { fingerprintPlan, hashFile, hashSamples, type WorkOptions, writeWeights } from './weights-file.ts';
import type { WeightsPlan } from './weights-plan.ts';

/** Part of the name of every entry: raise it when the same plan gives other bytes. */
const builderVersion = 2;

/** Current phase of preparing. */
export interface PrepareProgress {
  /** `hash` looks at the model, `verify` at the cached weights, `build` writes them. */
  phase: 'hash' | 'verify' | 'build';
  /** Bytes, or tensors or samples where the work is done by those. */
  done: number;
  total: number;
}

export interface PrepareOptions {
  /** Whether cached weights are read whole and compared with what was written. Default: samples of them. */
  verify?: boolean | undefined;
  /** Default: the environment's KEYSIEVE_CACHE, or `keysieve` in the user's cache folder. */
  cacheFolder?: string | undefined;
  onProgress?: ((progress: PrepareProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface PreparedWeights {
  /** The folder with the weights file. */
  readonly folder: string;
  /** Whether they had to be built. */
  readonly built: boolean;
  /** Removes what was made for this process only. */
  release(): Promise<void>;
}

interface Manifest {
  builder: number;
  precision: MatmulPrecision;
  /** Fingerprint of what the weights are made of. */
  content: string;
  byteLength: number;
  /** SHA-256 of the weights file. The two below are of that file, too. */
  sha256: string;
  /** Hash of samples. */
  samples: string;
  modifiedMs: number;
}

/** What a manifest must say for an entry to be the one that is looked for. */
type Expected = Pick<Manifest, 'builder' | 'precision' | 'content' | 'byteLength'>;

const manifestName = 'manifest.json';
const MAX_MANIFEST_BYTES = 2 ** 16;

/**
 * The weights file of a plan, from the cache or built from the GGUF file. Throws `cache-folder-unwritable`,
 * `not-a-number`, `aborted` and the errors of reading the GGUF file; the cache is then as it was.
 */
export async function prepareWeights(
  gguf: GgufFile,
  plan: WeightsPlan,
  precision: MatmulPrecision,
  options: PrepareOptions = {},
): Promise<PreparedWeights> {
  const work = (phase: PrepareProgress['phase']): WorkOptions => ({
    signal: options.signal,
    onBytes: (done, total) => options.onProgress?.({ phase, done, total }),
  });
  const content = await fingerprintPlan(gguf, plan, work('hash'));
  const expected = { builder: builderVersion, precision, content, byteLength: plan.byteLength };
  const entry = join('segments', `${content.slice(0, 40)}-${precision}-${builderVersion}`);
  const cachedFolder = join(cacheFolderPath(options.cacheFolder), entry);
  if (await isIntact(cachedFolder, expected, options.verify ?? false, work('verify')))
    return { folder: cachedFolder, built: false, release: async () => {} };

  const cache = await openCacheFolder(options.cacheFolder);
  try {
    const folder = join(cache.path, entry);
    const builtFolder = await build(dirname(folder), gguf, plan, expected, work('build'));
    const finalFolder = await moveIntoPlace(builtFolder, folder, () =>
      isIntact(folder, expected, true, work('verify')),
    );
    return { folder: finalFolder, built: true, release: cache.release };
  } catch (error) {
    await cache.release();
    throw isSystemError(error) ? unwritable(cache.path, error) : error;
  }
}

/** Whether an entry is there, for this content, and what was written: by its samples, or by all of it. */
async function isIntact(folder: string, expected: Expected, verify: boolean, options: WorkOptions): Promise<boolean> {
  try {
    // Entries are made of plain files: a link or a pipe in the place of one was put there by somebody else.
    const text = await readRegularFile(join(folder, manifestName), {
      maxBytes: MAX_MANIFEST_BYTES,
      followLinks: false,
    });
    const manifest = JSON.parse(text.toString()) as Partial<Manifest> | null;
    const keys = Object.keys(expected) as (keyof typeof expected)[];
    if (!keys.every((key) => manifest?.[key] === expected[key])) return false;
    const weights = join(folder, weightsFileName);
    const stats = await lstat(weights);
    if (!stats.isFile() || stats.size !== expected.byteLength) return false;
    const sampled = !verify && stats.mtimeMs === manifest?.modifiedMs;
    if (sampled && (await hashSamples(weights, options)) === manifest?.samples) return true;
    return (await hashFile(weights, options)) === manifest?.sha256;
  } catch (error) {
    throwIfAborted(options.signal);
    if (isSystemError(error) || error instanceof SyntaxError) return false;
    throw error;
  }
}

/** Builds an entry in a folder of its own beside the entries. Without success nothing is left of it. */
async function build(
  segments: string,
  gguf: GgufFile,
  plan: WeightsPlan,
  expected: Expected,
  options: WorkOptions,
): Promise<string> {
  await mkdir(segments, { recursive: true });
  await removeAbandonedBuilds(segments);
  const folder = join(segments, `${buildPrefix}${randomBytes(8).toString('hex')}`);
  await mkdir(folder);
  try {
    const weights = join(folder, weightsFileName);
    await writeWeights(weights, gguf, plan, options);
    const manifest: Manifest = {
      ...expected,
      sha256: await hashFile(weights, { signal: options.signal }),
      samples: await hashSamples(weights, { signal: options.signal }),
      modifiedMs: (await lstat(weights)).mtimeMs,
    };
    await writeFile(join(folder, manifestName), JSON.stringify(manifest, undefined, 2));
    return folder;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Renames a built entry into its place and gives where it is. Another process may have put an equal one there in the
 * meantime, which then serves; a broken one is moved away. Where neither goes (a file in use, on some systems), the
 * entry serves from where it was built.
 */
async function moveIntoPlace(
  builtFolder: string,
  folder: string,
  isTargetIntact: () => Promise<boolean>,
): Promise<string> {
  try {
    await rename(builtFolder, folder);
    return folder;
  } catch {
    if (await isTargetIntact()) {
      await rm(builtFolder, { recursive: true, force: true });
      return folder;
    }
  }
  try {
    const broken = `${builtFolder}-replaced`;
    await rename(folder, broken);
    await rename(builtFolder, folder);
    await rm(broken, { recursive: true, force: true });
    return folder;
  } catch {
    return builtFolder;
  }
}

const buildPrefix = 'building-';
const abandonedAfterMs = 24 * 60 * 60 * 1000;

/** Removes what builds left that were killed. */
async function removeAbandonedBuilds(segments: string): Promise<void> {
  for (const name of await readdir(segments)) {
    if (!name.startsWith(buildPrefix)) continue;
    const path = join(segments, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > abandonedAfterMs) await rm(path, { recursive: true, force: true });
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
