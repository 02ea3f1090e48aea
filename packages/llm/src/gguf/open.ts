/**
 * Opens a GGUF file: reads and checks its header, and gives its tensors' bytes by ranges. The file is never loaded
 * whole, and nothing is allocated from a size that has not been compared with the file's.
 */
import { openSource, siblingOf } from '#platform';
import type { LlmError } from '../errors.ts';
import { llmError } from '../errors.ts';
import { type ByteSource, SourceError, type SourceLocation } from '../io/source.ts';
import { createCursor, readFully } from './cursor.ts';
import { invalid, quoted } from './errors.ts';
import type { GgufHeader, GgufTensor } from './header.ts';
import { readHeader } from './header.ts';
import { parsePartName } from './split.ts';

/** An open GGUF file: its metadata, its tensors and their bytes. */
export interface GgufFile extends GgufHeader, AsyncDisposable {
  /** Path of the file, or of the first of several that a model is split into; the name of a Blob, the address of a URL. */
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
export async function openGguf(location: SourceLocation): Promise<GgufFile> {
  const parts: Part[] = [];
  try {
    const first = await openPart(location);
    parts.push(first);
    for (const name of otherParts(first)) {
      const sibling = siblingOf(location, name);
      if (sibling === undefined) throw withoutOthers(first.source.name);
      const part = await openPart(sibling);
      parts.push(part);
      requirePartNumber(part, parts.length);
    }
    return createFile(parts);
  } catch (error) {
    for (const { source } of parts) await source.close();
    throw error;
  }
}

/** One of the files of a model. */
interface Part {
  source: ByteSource;
  header: GgufHeader;
}

async function openPart(location: SourceLocation): Promise<Part> {
  return withFileErrors(async () => {
    const source = await openSource(location);
    try {
      return { source, header: await readHeader(createCursor(source)) };
    } catch (error) {
      await source.close();
      throw error;
    }
  });
}

/** The names of the parts behind the first. Throws `gguf-split` for another part, or a name that tells of no others. */
function otherParts({ source, header }: Part): string[] {
  const count = header.metadata.numberOr('split.count', 1);
  if (count <= 1) return [];
  const part = parsePartName(source.name.replace(/^.*[\\/]/, ''));
  if (part?.number !== 1 || part.count !== count) {
    throw llmError({
      code: 'gguf-split',
      problem: `The model is split into ${count} GGUF files, and this is not the first of them by its name.`,
      found: source.name,
      remedy: `Give the one that ends in -00001-of-${String(count).padStart(5, '0')}.gguf, with the others beside it.`,
    });
  }
  return part.names.slice(1);
}

function withoutOthers(name: string): LlmError {
  return llmError({
    code: 'gguf-split',
    problem: 'The model is split into several GGUF files, and a file that is given by itself has none beside it.',
    found: name,
    remedy: 'Join the parts with llama-gguf-split --merge, or give the path or address of the first.',
  });
}

/** Throws `gguf-split` for a file that is another part than its name says. */
function requirePartNumber({ source, header }: Part, number: number): void {
  const found = header.metadata.numberOr('split.no', -1);
  if (found === number - 1) return;
  throw llmError({
    code: 'gguf-split',
    problem: `The file ${source.name} is not part ${number} of its model.`,
    found: found < 0 ? 'no number of a part' : `part ${found + 1}`,
    remedy: 'Fetch the parts again, all from one place, under their own names.',
  });
}

function createFile(parts: readonly Part[]): GgufFile {
  const { source, header } = parts[0] as Part;
  const { name: path } = source;
  const { version, metadata } = header;
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
    await withFileErrors(() => readFully(part.source, bytes, tensor.offset + range.offset));
    return bytes;
  }

  async function close() {
    if (closed) return;
    closed = true;
    for (const { source } of parts) await source.close();
  }

  return {
    path,
    byteLength: parts.reduce((sum, part) => sum + part.source.byteLength, 0),
    modifiedMs: Math.max(...parts.map((part) => part.source.modifiedMs)),
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

/** Runs `work`, and gives the errors of sources their codes. */
async function withFileErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof SourceError ? fileError(error) : error;
  }
}

function fileError(cause: SourceError): LlmError {
  const { fault, source, found } = cause;
  if (fault === 'not-found') {
    return llmError({
      code: 'model-not-found',
      problem: 'There is no model file at this place.',
      found: source,
      remedy: 'Check the path; it is taken from the current folder unless it starts at the root.',
      cause,
    });
  }
  if (fault === 'not-a-file') {
    return llmError({
      code: 'not-gguf',
      problem: 'The path of the model is not that of a file.',
      found,
      remedy: 'Give the path of a .gguf file.',
      cause,
    });
  }
  return llmError({
    code: 'model-unreadable',
    problem: `The model file ${source} cannot be read.`,
    found,
    remedy: 'Check its permissions, and that its disk or server is there.',
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
