/**
 * Opens a GGUF file: reads and checks its header, and gives its tensors' bytes by ranges. The file is never loaded
 * whole, and nothing is allocated from a size that has not been compared with the file's.
 */
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import type { LlmError } from '../errors.ts';
import { llmError } from '../errors.ts';
import { createCursor, readFully } from './cursor.ts';
import { invalid, quoted } from './errors.ts';
import type { GgufHeader, GgufTensor } from './header.ts';
import { readHeader } from './header.ts';

/** An open GGUF file: its metadata, its tensors and their bytes. */
export interface GgufFile extends GgufHeader, AsyncDisposable {
  /** Path of the file, or of the first of several that a model is split into. */
  readonly path: string;
  /** Bytes of all its files. */
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
 * Opens a GGUF file of version 2 or 3, or, by the first of them, all files that a model is split into. Every fault of a
 * file is an `LlmError`: `model-not-found`, `model-unreadable`, `not-gguf`, `unsupported-gguf-version`, `gguf-truncated`,
 * `gguf-invalid`, `gguf-split` or `unsupported-tensor-type`.
 */
export async function openGguf(path: string): Promise<GgufFile> {
  const parts: Part[] = [];
  try {
    const first = await openPart(path);
    parts.push(first);
    for (const otherPath of otherParts(path, first.header.metadata)) {
      const part = await openPart(otherPath);
      parts.push(part);
      requirePartNumber(part, parts.length);
    }
    return createFile(path, parts);
  } catch (error) {
    for (const { file } of parts) await file.close();
    throw error;
  }
}

/** One of the files of a model. */
interface Part {
  path: string;
  file: FileHandle;
  size: number;
  modifiedMs: number;
  header: GgufHeader;
}

async function openPart(path: string): Promise<Part> {
  const file = await openRegular(path);
  try {
    const { size, mtimeMs } = await file.stat();
    return { path, file, size, modifiedMs: mtimeMs, header: await readHeader(createCursor(file, size)) };
  } catch (error) {
    await file.close();
    throw isSystemError(error) ? unreadable(path, error) : error;
  }
}

/** How `llama-gguf-split` names parts. */
const PART_NAME = /-(\d{5})-of-(\d{5})\.gguf$/;

/** The paths of the parts behind the first. Throws `gguf-split` for another part, or a name that tells of no others. */
function otherParts(path: string, metadata: GgufHeader['metadata']): string[] {
  const count = metadata.numberOr('split.count', 1);
  if (count <= 1) return [];
  const [, number, total] = PART_NAME.exec(path) ?? [];
  if (Number(number) !== 1 || Number(total) !== count) {
    throw llmError({
      code: 'gguf-split',
      problem: `The model is split into ${count} GGUF files, and this is not the first of them by its name.`,
      found: path,
      remedy: `Give the one that ends in -00001-of-${String(count).padStart(5, '0')}.gguf, with the others beside it.`,
    });
  }
  const stem = path.replace(PART_NAME, '');
  return Array.from({ length: count - 1 }, (_, i) => `${stem}-${String(i + 2).padStart(5, '0')}-of-${total}.gguf`);
}

/** Throws `gguf-split` for a file that is another part than its name says. */
function requirePartNumber({ path, header }: Part, number: number): void {
  const found = header.metadata.numberOr('split.no', -1);
  if (found === number - 1) return;
  throw llmError({
    code: 'gguf-split',
    problem: `The file ${path} is not part ${number} of its model.`,
    found: found < 0 ? 'no number of a part' : `part ${found + 1}`,
    remedy: 'Fetch the parts again, all from one place, under their own names.',
  });
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

function createFile(path: string, parts: readonly Part[]): GgufFile {
  const { version, metadata } = (parts[0] as Part).header;
  const tensors = new Map<string, GgufTensor>();
  const partOf = new Map<GgufTensor, Part>();
  for (const part of parts) {
    for (const [name, tensor] of part.header.tensors) {
      if (tensors.has(name)) throw invalid('A tensor stands in two parts of the model.', quoted(name));
      tensors.set(name, tensor);
      partOf.set(tensor, part);
    }
  }
  let closed = false;

  async function read(tensor: GgufTensor, range = { offset: 0, byteLength: tensor.byteLength }) {
    if (closed) throw disposed(path);
    checkRange(tensor, range);
    const bytes = allocate(tensor, range.byteLength);
    const part = partOf.get(tensors.get(tensor.name) ?? tensor) ?? (parts[0] as Part);
    try {
      await readFully(part.file, bytes, tensor.offset + range.offset);
    } catch (error) {
      throw isSystemError(error) ? unreadable(part.path, error) : error;
    }
    return bytes;
  }

  async function close() {
    if (closed) return;
    closed = true;
    for (const { file } of parts) await file.close();
  }

  return {
    path,
    byteLength: parts.reduce((sum, { size }) => sum + size, 0),
    modifiedMs: Math.max(...parts.map((part) => part.modifiedMs)),
    version,
    metadata,
    tensors,
    read,
    close,
    [Symbol.asyncDispose]: close,
  };
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
      remedy: 'Use a smaller model or one that is quantized further, or end other programs.',
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
