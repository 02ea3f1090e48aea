/** The files that a command will write: checked before its work, which may take hours. */
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { checkOutput } from '@keysieve/lab';
import { llmError } from '@keysieve/llm';

/**
 * Throws `output-unwritable` where a file cannot be written, and `invalid-argument` where two options name one file, or
 * one names a file that is read.
 */
export async function checkOutputs(
  /** Paths by the option that names them. */
  outputs: Readonly<Record<string, string | undefined>>,
  inputs: readonly (string | undefined)[] = [],
): Promise<void> {
  const taken = new Map<string, string>();
  for (const path of inputs) if (path !== undefined) taken.set(await identify(path), 'a file that is read');
  for (const [option, path] of Object.entries(outputs)) {
    if (path === undefined) continue;
    const file = await identify(path);
    const other = taken.get(file);
    if (other !== undefined) {
      throw llmError({
        code: 'invalid-argument',
        problem: `${option} names ${other.startsWith('--') ? `the file of ${other}` : other}.`,
        found: path,
        remedy: 'Give it a file of its own.',
      });
    }
    taken.set(file, option);
    await checkOutput(path);
  }
}

const identify = (path: string): Promise<string> => realpath(path).catch(() => resolve(path));
