/** Ranges of a file of the system. */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { type ByteSource, SourceError } from '../../io/source.ts';

/** One call of the system reads at most 2^31 - 1 bytes. */
const MAX_READ_BYTES = 1 << 30;

/** Opens a regular file. Looks before it opens: opening a pipe or a device could wait for ever. Throws `SourceError`. */
export async function openPath(path: string): Promise<ByteSource & { readonly path: string }> {
  let file: FileHandle;
  try {
    const stats = await stat(path);
    if (!stats.isFile()) throw notAFile(path, stats.isDirectory());
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    throw sourceError(path, error);
  }
  return sourceOfHandle(path, file);
}

/** An open file as a source, which closes it. */
export async function sourceOfHandle(path: string, file: FileHandle): Promise<ByteSource & { readonly path: string }> {
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw notAFile(path, stats.isDirectory());
    let closed = false;
    const close = async () => {
      if (closed) return;
      closed = true;
      await file.close();
    };
    return {
      name: path,
      path,
      byteLength: stats.size,
      modifiedMs: stats.mtimeMs,
      async read(target, position) {
        if (closed) throw new SourceError('closed', path, 'a source that was closed');
        try {
          return await readFully(file, target, position);
        } catch (error) {
          throw sourceError(path, error);
        }
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await file.close();
    throw sourceError(path, error);
  }
}

/** Fills `target` as far as the file goes. */
export async function readFully(file: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const length = Math.min(target.length - done, MAX_READ_BYTES);
    const { bytesRead } = await file.read(target, done, length, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

function notAFile(path: string, isFolder: boolean): SourceError {
  return new SourceError('not-a-file', path, `${isFolder ? 'a folder' : 'a pipe or device'} at ${path}`);
}

function sourceError(path: string, error: unknown): unknown {
  const { code = '' } = error as NodeJS.ErrnoException;
  // What no system has as a path, with a NUL, never gets to the system.
  if (!(error instanceof Error && ('syscall' in error || code === 'ERR_INVALID_ARG_VALUE'))) return error;
  const isMissing = code === 'ENOENT' || code === 'ENOTDIR';
  return new SourceError(isMissing ? 'not-found' : 'unreadable', path, code, error);
}
