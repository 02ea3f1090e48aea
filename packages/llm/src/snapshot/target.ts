/** Where a session is saved: a path in Node, a name in a store everywhere. */

import { KeysieveError } from 'keysieve';
import { fileTarget } from '#platform';
import { checkArgument, isText } from '../arguments.ts';
import { llmError } from '../errors.ts';
import { type Store, type StoreEditor, writeFile } from '../io/store.ts';

/** A path, or a name in a store. */
export type SnapshotTarget = string | { store: Store; name: string };

/**
 * Writes a file whole or not at all: beside its place first, and then renamed. Throws `invalid-argument`,
 * `output-unwritable` and what `write` throws.
 */
export async function writeTarget(
  target: SnapshotTarget,
  write: (editor: StoreEditor) => Promise<void>,
): Promise<void> {
  const isPath = typeof target === 'string' && target !== '' && !target.includes('\0');
  const isInStore = typeof target === 'object' && target !== null && isText(target.name) && target.store !== undefined;
  checkArgument('Where a session is saved', target, isPath || isInStore, 'a path, or a store and a name in it');
  try {
    const { store, name, temporary } =
      typeof target === 'string' ? await fileTarget(target) : { ...target, temporary: undefined };
    await writeFile(store, name, write, temporary);
  } catch (error) {
    if (!(error instanceof KeysieveError) || error.code !== 'cache-folder-unwritable') throw error;
    throw llmError({
      code: 'output-unwritable',
      problem: `The session cannot be saved as ${typeof target === 'string' ? target : `${target.name} in ${target.store.name}`}.`,
      found: error.found,
      remedy: 'Make room or give write access there, or save it elsewhere.',
      cause: error.cause,
    });
  }
}
