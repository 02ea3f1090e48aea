/** Reads a prompt from a file, and says where it is not text. */
import { readFile } from 'node:fs/promises';
import { llmError } from '../errors.ts';

/**
 * The text of a file, which must be UTF-8; a byte order mark is left out. Throws `prompt-file-not-found` where it
 * cannot be read, and `prompt-not-utf8` with the place of the first byte that is not.
 */
export async function readPromptFile(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw llmError({
      code: 'prompt-file-not-found',
      problem: 'The prompt file cannot be read.',
      found: `${path} (${(cause as NodeJS.ErrnoException).code ?? cause})`,
      remedy: 'Check the path and that you may read the file.',
      cause,
    });
  }
  return decodePrompt(bytes, path);
}

/** Text of UTF-8 bytes; `name` says in an error where they came from. */
export function decodePrompt(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw llmError({
      code: 'prompt-not-utf8',
      problem: 'The prompt is not UTF-8 text.',
      found: `${name}, at byte ${firstInvalidByte(bytes)}`,
      remedy: 'Convert it, for example: iconv -f latin1 -t utf-8 FILE',
      cause,
    });
  }
}

/** Offset of the first byte that is not part of a character. */
function firstInvalidByte(bytes: Uint8Array): number {
  // The longest beginning that decodes, found by halving; a character cut at its end is not a fault (`stream`).
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >>> 1;
    if (decodes(bytes.subarray(0, middle))) good = middle;
    else bad = middle;
  }
  return good;
}

function decodes(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
