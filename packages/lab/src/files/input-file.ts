/** Files that were given, to be read. */
import { readFile } from 'node:fs/promises';
import { labError } from '../errors.ts';

/** The text of a file, without a byte order mark. Throws `file-not-found` where it cannot be read. */
export async function readInput(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const problem = `${path} cannot be read.`;
    throw labError({ code: 'file-not-found', problem, found: code ?? message, remedy: 'Check the path.', cause });
  }
}
