/** What tells files apart: the SHA-256 of their bytes. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** The hash of a file, in hexadecimal digits. The file is read piece by piece: models are larger than memory. */
export async function fileHash(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path, { highWaterMark: 2 ** 20, ...(signal && { signal }) })) {
    hash.update(bytes as Buffer);
  }
  return hash.digest('hex');
}

/** The hash of a text. */
export const textHash = (text: string): string => createHash('sha256').update(text).digest('hex');
