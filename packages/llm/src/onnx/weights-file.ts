/**
 * Writes the weights file of a plan from a GGUF file, a few megabytes at a time, and names its content by a hash.
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { type GgufFile, type GgufTensor, requireFinite } from '../gguf/index.ts';
import { throwIfAborted } from './abort.ts';
import { encodeRows } from './weight-encoder.ts';
import { encodingKey } from './weight-encoding.ts';
import { type PlacedMatrix, rowsOf, type WeightsPlan } from './weights-plan.ts';

/** Work that can be followed and stopped. */
export interface WorkOptions {
  /** Called with the bytes done so far, of those that the work reads. */
  onBytes?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Bytes of a tensor that are read at a time, at most, unless a row is longer. */
const chunkBytes = 4 * 2 ** 20;

const hashesByFile = new WeakMap<GgufFile, string>();

/**
 * SHA-256 (hexadecimal) of a file's tensors: names, types, dimensions and bytes, read from the open file (its path
 * may by now lead to another). Computed once for each open file.
 */
export async function hashTensors(gguf: GgufFile, options: WorkOptions): Promise<string> {
  const cached = hashesByFile.get(gguf);
  if (cached !== undefined) return cached;
  const tensors = [...gguf.tensors.values()];
  const hash = createHash('sha256');
  hash.update(JSON.stringify(tensors.map(({ name, type, dimensions }) => ({ name, type, dimensions }))));
  for await (const { bytes } of readAll(gguf, tensors, options)) hash.update(bytes);
  const result = hash.digest('hex');
  hashesByFile.set(gguf, result);
  return result;
}

/** SHA-256 (hexadecimal) of all that a plan's weights file is made of: tensors, forms and places. */
export async function hashContent(gguf: GgufFile, plan: WeightsPlan, options: WorkOptions): Promise<string> {
  const layout = plan.matrices.map(({ tensors, encoding, components }) => ({
    tensors: tensors.map(({ name }) => name),
    form: encodingKey(encoding),
    planes: components.map(({ name, offset, byteLength }) => ({ name, offset, byteLength })),
  }));
  const tensors = await hashTensors(gguf, options);
  return createHash('sha256').update(JSON.stringify({ tensors, layout })).digest('hex');
}

/** SHA-256 (hexadecimal) of a file. */
export async function hashFile(path: string, { onBytes, signal }: WorkOptions): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const hash = createHash('sha256');
    const buffer = new Uint8Array(chunkBytes);
    for (let done = 0; ; ) {
      throwIfAborted(signal);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, done);
      if (bytesRead === 0) return hash.digest('hex');
      hash.update(buffer.subarray(0, bytesRead));
      done += bytesRead;
      onBytes?.(done, size);
    }
  } finally {
    await file.close();
  }
}

/**
 * Writes the plan's weights to a new file at `path`. Throws `not-a-number` for a weight that is not finite,
 * `aborted`, the errors of reading the GGUF file, and those of the file system; what is written then stays behind.
 */
export async function writeWeights(path: string, gguf: GgufFile, plan: WeightsPlan, options: WorkOptions) {
  const file = await open(path, 'wx');
  try {
    await file.truncate(plan.byteLength);
    const total = plan.matrices.reduce((sum, { tensors }) => sum + totalBytes(tensors), 0);
    let done = 0;
    for (const matrix of plan.matrices) {
      const onBytes = (bytes: number) => options.onBytes?.(done + bytes, total);
      await writeMatrix(file, gguf, matrix, { signal: options.signal, onBytes });
      done += totalBytes(matrix.tensors);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

async function writeMatrix(file: FileHandle, gguf: GgufFile, matrix: PlacedMatrix, options: WorkOptions) {
  const { encoding, rowLength, components } = matrix;
  let row = 0;
  for await (const { tensor, bytes, rows } of readAll(gguf, matrix.tensors, options)) {
    requireFinite(tensor, bytes);
    const encoded = encodeRows(tensor.type, bytes, encoding, { rows, rowLength });
    for (const [i, { offset, bytesPerRow }] of components.entries()) {
      await writeFully(file, encoded[i] as Uint8Array, offset + row * bytesPerRow);
    }
    row += rows;
  }
}

/** The tensors' rows, as many at a time as fit a chunk. */
async function* readAll(gguf: GgufFile, tensors: readonly GgufTensor[], { onBytes, signal }: WorkOptions) {
  const total = totalBytes(tensors);
  let done = 0;
  for (const tensor of tensors) {
    const rowCount = rowsOf(tensor);
    const rowBytes = tensor.byteLength / rowCount;
    const maxRows = Math.max(1, Math.floor(chunkBytes / rowBytes));
    for (let row = 0; row < rowCount; row += maxRows) {
      throwIfAborted(signal);
      const rows = Math.min(maxRows, rowCount - row);
      const bytes = await gguf.read(tensor, { offset: row * rowBytes, byteLength: rows * rowBytes });
      yield { tensor, bytes, rows };
      done += bytes.length;
      onBytes?.(done, total);
    }
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function totalBytes(tensors: readonly GgufTensor[]): number {
  return tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
