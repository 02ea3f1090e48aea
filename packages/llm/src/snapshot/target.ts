/** Where a session is saved: a path in Node, a name in a store everywhere. */

import { KeysieveError } from 'keysieve';
import { fileTarget } from '#platform';
import { llmError } from '../errors.ts';
import { type Store, type StoreEditor, writeFile } from '../io/store.ts';

/** A path, or a name in a store. */
export type SnapshotTarget = string | { store: Store; name: string };

/**
 * Writes a file whole or not at all: beside its place first, and then renamed. Throws `output-unwritable` and what `write`
 * throws.
 */
export async function writeTarget(
  target: SnapshotTarget,
  write: (editor: StoreEditor) => Promise<void>,
): Promise<void> {
  const { store, name, temporary } =
    typeof target === 'string' ? await fileTarget(target) : { ...target, temporary: undefined };
  try {
    await writeFile(store, name, write, temporary);
  } catch (error) {
    if (!(error instanceof KeysieveError) || error.code !== 'cache-folder-unwritable') throw error;
    throw llmError({
      code: 'output-unwritable',
      problem: `The session cannot be saved as ${name} in ${store.name}.`,
      found: error.found,
      remedy: 'Make room or give write access there, or save it elsewhere.',
      cause: error.cause,
    });
  }
}
