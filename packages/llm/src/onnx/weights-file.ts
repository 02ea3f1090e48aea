/**
 * Writes the weights file of a plan from a GGUF file, a few megabytes at a time, and names its content by a hash.
 */
import { createSha256, openSource } from '#platform';
import { type GgufFile, type GgufTensor, requireFinite } from '../gguf/index.ts';
import type { ByteSource, SourceLocation } from '../io/source.ts';
import type { StoreEditor } from '../io/store.ts';
import { throwIfAborted } from './abort.ts';
import { encodeRows } from './weight-encoder.ts';
import { encodingKey } from './weight-encoding.ts';
import { type PlacedMatrix, rowsOf, type WeightsPlan } from './weights-plan.ts';

/** Work that can be followed and stopped. */
export interface WorkOptions {
  /** Called with the work done so far, and all of it. */
  onBytes?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Bytes of a tensor that are read at a time, at most, unless a row is longer. */
const chunkBytes = 4 * 2 ** 20;

/** Files up to this size are hashed whole; larger ones by samples. */
const MAX_WHOLE_BYTES = 4 * 2 ** 20;
const SAMPLE_BYTES = 4096;
/** Samples of a weights file. */
const FILE_SAMPLES = 256;

const fingerprints = new WeakMap<GgufFile, string>();

/**
 * What tells a file's tensors from others (SHA-256, hexadecimal): names, types, dimensions and bytes. Of a large file it is
 * taken from its size, its time and the beginning and middle of each tensor: reading gigabytes at each start would take
 * longer than all else. Computed once for each open file, and read from it: its path may by now lead to another.
 */
export async function fingerprintTensors(gguf: GgufFile, options: WorkOptions): Promise<string> {
  const cached = fingerprints.get(gguf);
  if (cached !== undefined) return cached;
  const tensors = [...gguf.tensors.values()];
  const hash = createSha256();
  hash.update(JSON.stringify(tensors.map(({ name, type, dimensions }) => ({ name, type, dimensions }))));
  if (totalBytes(tensors) <= MAX_WHOLE_BYTES) {
    for await (const { bytes } of readAll(gguf, tensors, options)) hash.update(bytes);
  } else {
    hash.update(JSON.stringify({ byteLength: gguf.byteLength, modifiedMs: gguf.modifiedMs }));
    for (const [i, tensor] of tensors.entries()) {
      throwIfAborted(options.signal);
      const byteLength = Math.min(SAMPLE_BYTES, tensor.byteLength);
      for (const offset of [0, Math.floor((tensor.byteLength - byteLength) / 2)]) {
        hash.update(await gguf.read(tensor, { offset, byteLength }));
      }
      options.onBytes?.(i + 1, tensors.length);
    }
  }
  const result = hash.digest();
  fingerprints.set(gguf, result);
  return result;
}

/** What tells a plan's weights file from others (SHA-256, hexadecimal): its tensors, their encodings and places. */
export async function fingerprintPlan(gguf: GgufFile, plan: WeightsPlan, options: WorkOptions): Promise<string> {
  const layout = plan.matrices.map(({ tensors, encoding, components, interleaved }) => ({
    tensors: tensors.map(({ name }) => name),
    interleaved,
    encoding: encodingKey(encoding),
    components: components.map(({ name, offset, byteLength }) => ({ name, offset, byteLength })),
  }));
  const tensors = await fingerprintTensors(gguf, options);
  const hash = createSha256();
  hash.update(JSON.stringify({ tensors, layout }));
  return hash.digest();
}

/** SHA-256 (hexadecimal) of a file. Throws `SourceError`. */
export async function hashFile(location: SourceLocation, options: WorkOptions): Promise<string> {
  await using source = await openSource(location);
  // Not before it is read: returning the promise would close it.
  return await hashSource(source, options);
}

/** SHA-256 (hexadecimal) of a source. */
export async function hashSource(source: ByteSource, { onBytes, signal }: WorkOptions): Promise<string> {
  const hash = createSha256();
  const buffer = new Uint8Array(chunkBytes);
  for (let done = 0; ; ) {
    throwIfAborted(signal);
    const bytesRead = await source.read(buffer, done);
    if (bytesRead === 0) return hash.digest();
    hash.update(buffer.subarray(0, bytesRead));
    done += bytesRead;
    onBytes?.(done, source.byteLength);
  }
}

/** SHA-256 (hexadecimal) of samples of a source that lie evenly over it; of all of a small one. */
export async function hashSamples(source: ByteSource, options: WorkOptions): Promise<string> {
  const { byteLength } = source;
  if (byteLength <= MAX_WHOLE_BYTES) return hashSource(source, options);
  const hash = createSha256();
  const buffer = new Uint8Array(SAMPLE_BYTES);
  for (let sample = 0; sample < FILE_SAMPLES; sample++) {
    throwIfAborted(options.signal);
    const position = Math.floor(((byteLength - SAMPLE_BYTES) * sample) / (FILE_SAMPLES - 1));
    hash.update(buffer.subarray(0, await source.read(buffer, position)));
    options.onBytes?.(sample + 1, FILE_SAMPLES);
  }
  return hash.digest();
}

/**
 * Writes the plan's weights. Throws `not-a-number` for a weight that is not finite, `aborted`, the errors of reading the
 * GGUF file, and those of the store; what is written then stays behind.
 */
export async function writeWeights(file: StoreEditor, gguf: GgufFile, plan: WeightsPlan, options: WorkOptions) {
  await file.truncate(plan.byteLength);
  const total = plan.matrices.reduce((sum, { tensors }) => sum + totalBytes(tensors), 0);
  let done = 0;
  for (const matrix of plan.matrices) {
    const onBytes = (bytes: number) => options.onBytes?.(done + bytes, total);
    await writeMatrix(file, gguf, matrix, { signal: options.signal, onBytes });
    done += totalBytes(matrix.tensors);
  }
  await file.flush();
}

async function writeMatrix(file: StoreEditor, gguf: GgufFile, matrix: PlacedMatrix, options: WorkOptions) {
  if (matrix.interleaved) return writeInterleaved(file, gguf, matrix, options);
  const { encoding, rowLength, components } = matrix;
  let row = 0;
  for await (const { tensor, bytes, rows } of readAll(gguf, matrix.tensors, options)) {
    requireFinite(tensor, bytes);
    const encoded = encodeRows(tensor.type, bytes, encoding, { rows, rowLength });
    for (const [i, { offset, bytesPerRow }] of components.entries()) {
      await file.write(encoded[i] as Uint8Array, offset + row * bytesPerRow);
    }
    row += rows;
  }
}

/** Writes rows of equally large tensors in turn. */
async function writeInterleaved(file: StoreEditor, gguf: GgufFile, matrix: PlacedMatrix, options: WorkOptions) {
  const { encoding, rowLength, components, tensors, rows: allRows } = matrix;
  const rowCount = allRows / tensors.length;
  const maxRows = Math.max(1, Math.floor(chunkBytes / (totalBytes(tensors) / rowCount)));
  for (let row = 0; row < rowCount; row += maxRows) {
    throwIfAborted(options.signal);
    const rows = Math.min(maxRows, rowCount - row);
    const parts: (readonly Uint8Array[])[] = [];
    for (const tensor of tensors) {
      const rowBytes = tensor.byteLength / rowCount;
      const bytes = await gguf.read(tensor, { offset: row * rowBytes, byteLength: rows * rowBytes });
      requireFinite(tensor, bytes);
      parts.push(encodeRows(tensor.type, bytes, encoding, { rows, rowLength }));
    }
    for (const [i, { offset, bytesPerRow }] of components.entries()) {
      const merged = new Uint8Array(rows * tensors.length * bytesPerRow);
      for (let r = 0; r < rows; r++) {
        for (const [t, part] of parts.entries()) {
          const source = (part[i] as Uint8Array).subarray(r * bytesPerRow, (r + 1) * bytesPerRow);
          merged.set(source, (r * tensors.length + t) * bytesPerRow);
        }
      }
      await file.write(merged, offset + row * tensors.length * bytesPerRow);
    }
    options.onBytes?.(((row + rows) / rowCount) * totalBytes(tensors), totalBytes(tensors));
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

function totalBytes(tensors: readonly GgufTensor[]): number {
  return tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
