/** Reading small files that others may have put there: a pipe in a file's place could keep a reader waiting for ever. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

export interface RegularFileOptions {
  /** A longer file is an error. */
  maxBytes: number;
  /** Whether the path may be a symbolic link. Default: true. */
  followLinks?: boolean;
}

/**
 * The bytes of a regular file. Throws errors of the system, among them ELOOP for a link that is not followed; EISDIR
 * for a folder, EINVAL for a pipe or a device, and EFBIG for a file past the limit.
 */
export async function readRegularFile(path: string, options: RegularFileOptions): Promise<Buffer> {
  const { maxBytes, followLinks = true } = options;
  // Opening a pipe does not wait with O_NONBLOCK.
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (followLinks ? 0 : (constants.O_NOFOLLOW ?? 0));
  const file = await open(path, flags);
  try {
    const stats = await file.stat();
    if (stats.isDirectory()) throw systemError('EISDIR', path);
    if (!stats.isFile()) throw systemError('EINVAL', path);
    if (stats.size > maxBytes) throw systemError('EFBIG', path);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

function systemError(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code, path, syscall: 'read' });
}
