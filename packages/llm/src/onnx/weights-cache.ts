/**
 * Keeps weights files in the cache folder, so that a model is prepared once. An entry is a folder named after its content,
 * with the weights and a manifest; the weights are built elsewhere and renamed into it. Before every use their size, time and
 * samples of them are compared with the manifest, and all of them where they differ or where that is asked for: weights that
 * are broken, cut short or changed are built anew.
 *
 * Graphs are not cached: they cost milliseconds to build, and what is not kept need not be trusted.
 */
import { openWeightsStore, weightsStore } from '#platform';
import type { GgufFile } from '../gguf/index.ts';
import { readJson, type Store, type StoredFile, temporaryName, writeJson } from '../io/store.ts';
import { throwIfAborted } from './abort.ts';
import type { MatmulPrecision } from './weight-encoding.ts';
import { fingerprintPlan, hashSamples, hashSource, type WorkOptions, writeWeights } from './weights-file.ts';
import { type WeightsLocation, weightsFileName } from './weights-location.ts';
import type { WeightsPlan } from './weights-plan.ts';

/** Part of the name of every entry: raise it when the same plan gives other bytes. */
const builderVersion = 3;

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
  readonly weights: WeightsLocation;
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
  const entry = `segments/${content.slice(0, 40)}-${precision}-${builderVersion}`;
  const kept = await findIntact(weightsStore(options.cacheFolder), entry, expected, options, work('verify'));
  if (kept !== undefined) return { weights: kept, built: false, release: async () => {} };

  const { store, release } = await openWeightsStore(options.cacheFolder);
  try {
    return { weights: await build(store, entry, gguf, plan, expected, work), built: true, release };
  } catch (error) {
    await release();
    throw error;
  }
}

const manifestOf = (entry: string) => `${entry}/manifest.json`;
const weightsOf = (entry: string) => `${entry}/${weightsFileName}`;

/** An entry that is there, for this content, as it was written: by its samples, or by all of it. */
async function findIntact(
  store: Store,
  entry: string,
  expected: Expected,
  { verify = false }: Pick<PrepareOptions, 'verify'>,
  options: WorkOptions,
): Promise<WeightsLocation | undefined> {
  if (!store.persistent) return undefined;
  const manifest = (await readJson(store, manifestOf(entry))) as Partial<Manifest> | null | undefined;
  const keys = Object.keys(expected) as (keyof typeof expected)[];
  if (!keys.every((key) => manifest?.[key] === expected[key])) return undefined;
  try {
    await using file = await store.open(weightsOf(entry));
    if (file?.byteLength !== expected.byteLength) return undefined;
    const sampled = !verify && file.modifiedMs === manifest?.modifiedMs;
    if (sampled && (await hashSamples(file, options)) === manifest?.samples) return locationOf(file);
    return (await hashSource(file, options)) === manifest?.sha256 ? locationOf(file) : undefined;
  } catch {
    // What cannot be read is built anew.
    throwIfAborted(options.signal);
    return undefined;
  }
}

function locationOf({ path, bytes }: StoredFile): WeightsLocation {
  return { ...(path !== undefined && { path }), ...(bytes !== undefined && { bytes }) };
}

/**
 * Builds the weights and gives them their place. Another process may have put equal ones there in the meantime, which then
 * serve. Without success nothing is left of them.
 */
async function build(
  store: Store,
  entry: string,
  gguf: GgufFile,
  plan: WeightsPlan,
  expected: Expected,
  work: (phase: PrepareProgress['phase']) => WorkOptions,
): Promise<WeightsLocation> {
  const { signal } = work('build');
  const folder = temporaryName();
  const temporary = weightsOf(folder);
  try {
    const editor = await store.edit(temporary);
    try {
      await writeWeights(editor, gguf, plan, work('build'));
    } finally {
      await editor.close();
    }
    if (!store.persistent) return await openBuilt(store, temporary, locationOf);
    const hashes = await openBuilt(store, temporary, async (file) => ({
      sha256: await hashSource(file, { signal }),
      samples: await hashSamples(file, { signal }),
    }));
    const other = await findIntact(store, entry, expected, { verify: true }, { signal });
    if (other === undefined) return await moveIntoPlace(store, folder, entry, { ...expected, ...hashes });
    await store.remove(folder);
    return other;
  } catch (error) {
    await store.remove(folder).catch(() => {});
    throw error;
  }
}

/** Renames built weights into their entry. Where that does not go (a file in use, on some systems), they serve from where they are. */
async function moveIntoPlace(
  store: Store,
  folder: string,
  entry: string,
  manifest: Omit<Manifest, 'modifiedMs'>,
): Promise<WeightsLocation> {
  try {
    await store.rename(weightsOf(folder), weightsOf(entry));
    await store.remove(folder);
  } catch {
    return openBuilt(store, weightsOf(folder), locationOf);
  }
  return openBuilt(store, weightsOf(entry), async (file) => {
    await writeJson(store, manifestOf(entry), { ...manifest, modifiedMs: file.modifiedMs });
    return locationOf(file);
  });
}

async function openBuilt<T>(store: Store, name: string, use: (file: StoredFile) => T | Promise<T>): Promise<T> {
  await using file = await store.open(name);
  if (file === undefined) throw new Error(`${name} is gone from ${store.name}`);
  return await use(file);
}
