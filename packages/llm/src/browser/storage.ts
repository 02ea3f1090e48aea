/** Models in the browser's own storage: which there are, what they take, and keeping and deleting them. */
import { cacheStore } from '#platform';

export interface KeptModel {
  /** As `loadModel` takes it: `hf:OWNER/REPO/FILE.gguf`. */
  source: string;
  byteLength: number;
  modifiedMs: number;
}

/** The models that were fetched whole from the hub. */
export async function listModels(cacheFolder?: string): Promise<KeptModel[]> {
  const entries = await cacheStore(cacheFolder).list('hub');
  return entries
    .filter(({ name }) => name.endsWith('.gguf'))
    .map(({ name, byteLength, modifiedMs }) => ({ source: `hf:${name.slice('hub/'.length)}`, byteLength, modifiedMs }));
}

/** Deletes a model, and what there is of a download that was not finished. */
export async function deleteModel(source: string, cacheFolder?: string): Promise<void> {
  const name = `hub/${source.replace(/^hf:/, '')}`;
  const store = cacheStore(cacheFolder);
  for (const each of [name, `${name}.partial`, `${name}.journal.json`]) await store.remove(each);
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
