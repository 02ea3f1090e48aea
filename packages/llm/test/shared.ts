/**
 * Finds the files that lie beside the repository in `../shared` (real models, goldens, captures, texts), which are
 * never committed. A test that needs one skips, with a message, where it is absent.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const sharedFolder = new URL('../../../../shared/', import.meta.url);

/** Path of a shared file, or undefined (with a line on stderr that says what is skipped) where it is absent. */
export function sharedFile(name: string): string | undefined {
  const path = fileURLToPath(new URL(name, sharedFolder));
  if (existsSync(path)) return path;
  console.warn(`skipped: needs ../shared/${name}, which is not there`);
  return undefined;
}
