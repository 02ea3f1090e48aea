/** What prompts begin with, kept between sessions and between runs. */
export {
  createPrefixFolder,
  listPrefixes,
  PREFIX_FOLDER,
  prunePrefixes,
  type StoredPrefixes,
} from './prefix-folder.ts';
export { createPrefixStore, type PrefixStats, type PrefixStore } from './prefix-store.ts';
