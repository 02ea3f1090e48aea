/** Models in the browser's own storage: which there are, what they take, and keeping, opening and deleting them. */
import { cacheStore } from '#platform';
import { llmError } from '../errors.ts';
import { writeFile } from '../io/store.ts';

export interface KeptModel {
  /** In the storage: `hub/OWNER/REPO/FILE.gguf`, `urls/HOST/PATH`, or `own/FILE.gguf` for the user's own files. */
  name: string;
  byteLength: number;
  modifiedMs: number;
}

const FOLDERS = ['hub', 'urls', 'own'];
/** What belongs to a download that was not finished. */
const UNFINISHED = ['.partial', '.journal.json'];
/** Bytes that are copied at a time. */
const COPY_BYTES = 2 ** 22;

/** The models that are there whole. */
export async function listModels(cacheFolder?: string): Promise<KeptModel[]> {
  const store = cacheStore(cacheFolder);
  const lists = await Promise.all(FOLDERS.map((folder) => store.list(folder)));
  return lists.flat().filter(({ name }) => !UNFINISHED.some((end) => name.endsWith(end)));
}

/** The file of a kept model, as `createWorkerModel` takes it. Throws `model-not-found`. */
export async function openModel(name: string, cacheFolder?: string): Promise<File> {
  const file = await cacheStore(cacheFolder).open(name);
  if (file?.blob instanceof File) return file.blob;
  throw llmError({
    code: 'model-not-found',
    problem: 'The storage of the browser has no model of this name.',
    found: name,
    remedy: 'Take one that listModels names, or fetch it again.',
  });
}

/**
 * Copies a file of the user's into the storage, whole or not at all, and gives its name there. Throws
 * `cache-folder-unwritable`, also where the storage is full.
 */
export async function keepModel(
  file: File,
  { cacheFolder, onProgress }: { cacheFolder?: string; onProgress?: (share: number) => void } = {},
): Promise<string> {
  const name = `own/${file.name.replaceAll(/[\\/\0]/g, '_')}`;
  await writeFile(cacheStore(cacheFolder), name, async (editor) => {
    for (let at = 0; at < file.size; at += COPY_BYTES) {
      await editor.write(new Uint8Array(await file.slice(at, at + COPY_BYTES).arrayBuffer()), at);
      onProgress?.(Math.min(1, (at + COPY_BYTES) / file.size));
    }
  });
  return name;
}

/** Deletes a model, and what there is of a download that was not finished. */
export async function deleteModel(name: string, cacheFolder?: string): Promise<void> {
  const store = cacheStore(cacheFolder);
  for (const each of [name, ...UNFINISHED.map((end) => `${name}${end}`)]) await store.remove(each);
}

export interface StorageState {
  /** Bytes that are used, and that there may be; undefined where the browser does not tell. */
  usage: number | undefined;
  quota: number | undefined;
  /** Whether the browser keeps everything until the user deletes it. */
  persisted: boolean;
}

/** Asks the browser to keep what is stored, and tells how much room there is. */
export async function persistStorage(): Promise<StorageState> {
  const persisted = await navigator.storage.persist();
  const { usage, quota } = await navigator.storage.estimate();
  return { usage, quota, persisted };
}
