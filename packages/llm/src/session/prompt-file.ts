/** Reads a prompt from a file, and says where it is not text. */
import { openSource } from '#platform';
import { llmError } from '../errors.ts';
import { readWhole, SourceError, type SourceLocation } from '../io/source.ts';

/** No context holds a longer text. */
const MAX_BYTES = 2 ** 30;

/**
 * The text of a file, which must be UTF-8; a byte order mark is left out. Throws `prompt-file-not-found` where it
 * cannot be read, and `prompt-not-utf8` with the place of the first byte that is not.
 */
export async function readPromptFile(location: SourceLocation): Promise<string> {
  try {
    await using source = await openSource(location);
    return decodePrompt(await readWhole(source, MAX_BYTES), source.name);
  } catch (cause) {
    if (!(cause instanceof SourceError)) throw cause;
    throw llmError({
      code: 'prompt-file-not-found',
      problem: 'The text file cannot be read.',
      found: `${cause.source} (${cause.found})`,
      remedy: 'Check the path and that you may read the file.',
      cause,
    });
  }
}

/** Text of UTF-8 bytes; `name` says in an error where they came from. */
export function decodePrompt(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw llmError({
      code: 'prompt-not-utf8',
      problem: 'The text is not in UTF-8.',
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
