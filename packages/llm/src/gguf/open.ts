/**
 * Opens a GGUF file: reads and checks its header, and gives its tensors' bytes by ranges. The file is never loaded
 * whole, and nothing is allocated from a size that has not been compared with the file's.
 */
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import type { LlmError } from '../errors.ts';
import { llmError } from '../errors.ts';
import { createCursor, readFully } from './cursor.ts';
import { quoted } from './errors.ts';
import type { GgufHeader, GgufTensor } from './header.ts';
import { readHeader } from './header.ts';

export interface GgufFile extends GgufHeader, AsyncDisposable {
  readonly path: string;
  readonly byteLength: number;
  /** When the file was last changed, in milliseconds since 1970. */
  readonly modifiedMs: number;
  /**
   * Bytes of a tensor, or of a range of them (from the tensor's start), in a buffer of their own.
   * Throws `invalid-argument` for a range outside the tensor, `out-of-memory` for one that is too large,
   * `gguf-truncated` where the file has become shorter, and `disposed` after `close`.
   */
  read(tensor: GgufTensor, range?: { offset: number; byteLength: number }): Promise<Uint8Array<ArrayBuffer>>;
  /** Closes the file; a second call does nothing. */
  close(): Promise<void>;
}

/**
 * Opens a GGUF file of version 2 or 3. Every fault of the file is an `LlmError`: `model-not-found`,
 * `model-unreadable`, `not-gguf`, `unsupported-gguf-version`, `gguf-truncated`, `gguf-invalid`, `gguf-split` or
 * `unsupported-tensor-type`.
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const file = await openRegular(path);
  try {
    const { size, mtimeMs } = await file.stat();
    const header = await readHeader(createCursor(file, size));
    return createFile(path, file, { size, mtimeMs }, header);
  } catch (error) {
    await file.close();
    throw isSystemError(error) ? unreadable(path, error) : error;
  }
}

/** Looks before it opens: opening a pipe or a device could wait for ever. */
async function openRegular(path: string): Promise<FileHandle> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) {
      throw llmError({
        code: 'not-gguf',
        problem: 'The path of the model is not that of a file.',
        found: `${stats.isDirectory() ? 'a folder' : 'a pipe or device'} at ${path}`,
        remedy: 'Give the path of a .gguf file.',
      });
    }
    return await open(path, 'r');
  } catch (error) {
    throw isSystemError(error) ? unreadable(path, error) : error;
  }
}

function createFile(
  path: string,
  file: FileHandle,
  { size, mtimeMs }: { size: number; mtimeMs: number },
  header: GgufHeader,
): GgufFile {
  let closed = false;

  async function read(tensor: GgufTensor, range = { offset: 0, byteLength: tensor.byteLength }) {
    if (closed) throw disposed(path);
    checkRange(tensor, range);
    const bytes = allocate(tensor, range.byteLength);
    try {
      await readFully(file, bytes, tensor.offset + range.offset);
    } catch (error) {
      throw isSystemError(error) ? unreadable(path, error) : error;
    }
    return bytes;
  }

  async function close() {
    if (closed) return;
    closed = true;
    await file.close();
  }

  return { path, byteLength: size, modifiedMs: mtimeMs, ...header, read, close, [Symbol.asyncDispose]: close };
}

function checkRange(tensor: GgufTensor, { offset, byteLength }: { offset: number; byteLength: number }): void {
  const whole = Number.isInteger(offset) && Number.isInteger(byteLength);
  if (whole && offset >= 0 && byteLength >= 0 && offset + byteLength <= tensor.byteLength) return;
  throw llmError({
    code: 'invalid-argument',
    problem: `The range lies outside tensor ${quoted(tensor.name)}.`,
    found: `${byteLength} bytes from ${offset}`,
    remedy: `Ask for whole bytes between 0 and ${tensor.byteLength}.`,
  });
}

function allocate({ name }: GgufTensor, byteLength: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(byteLength);
  } catch (cause) {
    throw llmError({
      code: 'out-of-memory',
      problem: `There is no room in memory for tensor ${quoted(name)}.`,
      found: `${byteLength} bytes`,
      remedy: 'Use a smaller model or one that is quantised further, or end other programs.',
      cause,
    });
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

function unreadable(path: string, cause: NodeJS.ErrnoException): LlmError {
  if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') {
    return llmError({
      code: 'model-not-found',
      problem: 'There is no model file at this path.',
      found: path,
      remedy: 'Check the path; it is taken from the current folder unless it starts at the root.',
      cause,
    });
  }
  return llmError({
    code: 'model-unreadable',
    problem: `The model file ${path} cannot be read.`,
    found: cause.code,
    remedy: 'Check its permissions, and that its disk is there.',
    cause,
  });
}

function disposed(path: string): LlmError {
  return llmError({
    code: 'disposed',
    problem: 'The GGUF file is closed.',
    found: path,
    remedy: 'Open it again with openGguf.',
  });
}
