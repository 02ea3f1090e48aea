/**
 * Reads the header of a GGUF file, versions 2 and 3: counts, metadata and tensor infos, and checks that the tensors
 * it describes lie aligned, apart from each other, and inside the file (specification: docs/gguf.md of ggml).
 */
import { llmError } from '../errors.ts';
import type { Cursor } from './cursor.ts';
import { invalid, quoted, truncated } from './errors.ts';
import { identify, latin1 } from './identify.ts';
import type { GgufMetadata, GgufValue } from './metadata.ts';
import { createMetadata } from './metadata.ts';
import type { GgmlType } from './types.ts';
import { ggmlBlock, ggmlByteLength, ggmlTypeById } from './types.ts';
import { readValue } from './value-reader.ts';

/** A tensor of a GGUF file: its name, type, dimensions and place. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** In GGUF's order: the innermost (the length of a row) first. One to four. */
  readonly dimensions: readonly number[];
  /** Absolute offset in the file, in bytes. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: GgufMetadata;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Limits of the format: a key has at most 2^16 - 1 bytes, a tensor at most four dimensions. */
const MAX_KEY_BYTES = 65_535;
const MAX_DIMENSIONS = 4;
/** Fewest bytes of a key with its value, and of a tensor info: empty name, smallest value, one dimension. */
const MIN_METADATA_BYTES = 8 + 4 + 1;
const MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8;
/** Far more than any model has; keeps the tables of a damaged file small. */
const MAX_ENTRIES = 1 << 20;
const defaultAlignment = 32;

export async function readHeader(cursor: Cursor): Promise<GgufHeader> {
  const fileBytes = cursor.remaining;
  const version = await readVersion(cursor);
  await cursor.fill(16, 'the counts of tensors and metadata');
  const tensorCount = Number(cursor.take(8, (view, at) => view.getBigUint64(at, true)));
  const metadataCount = Number(cursor.take(8, (view, at) => view.getBigUint64(at, true)));
  checkCount(cursor, metadataCount, MIN_METADATA_BYTES, 'metadata keys');
  checkCount(cursor, tensorCount, MIN_TENSOR_BYTES, 'tensors');
  const metadata = createMetadata(await readMetadata(cursor, metadataCount));
  const alignment = readAlignment(metadata);
  const infos = await readTensorInfos(cursor, tensorCount);
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  return { version, metadata, tensors: placeTensors(infos, dataStart, alignment, fileBytes) };
}

async function readVersion(cursor: Cursor): Promise<number> {
  const magic = 'GGUF';
  const start = Math.min(cursor.remaining, 512);
  await cursor.fill(start, 'the start of the file');
  const bytes = cursor.take(0, (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, start));
  const opening = latin1(bytes.subarray(0, 4));
  if (start === 0 || !magic.startsWith(opening)) {
    throw llmError({
      code: 'not-gguf',
      problem: 'The file is not in the GGUF format.',
      found: identify(bytes),
      remedy: 'Give a .gguf file; convert other formats with convert_hf_to_gguf.py of llama.cpp.',
    });
  }
  await cursor.fill(8, 'the version of the format');
  const version = cursor.take(8, (view, at) => view.getUint32(at + 4, true));
  if (version === 2 || version === 3) return version;
  const bigEndian = (version & 0xff_ffff) === 0 && version >>> 24 >= 1 && version >>> 24 <= 3;
  throw llmError({
    code: 'unsupported-gguf-version',
    problem: bigEndian
      ? 'The GGUF file is big-endian.'
      : 'The version of the GGUF file is not supported (2 and 3 are).',
    found: bigEndian ? 'the version in big-endian order' : version,
    remedy: bigEndian
      ? 'Convert it with gguf-py/scripts/gguf_convert_endian.py little.'
      : 'Convert the model again with a current llama.cpp.',
  });
}

function checkCount(cursor: Cursor, count: number, minBytes: number, what: string): void {
  cursor.expect(count, minBytes, `its ${what}`);
  if (count > MAX_ENTRIES) throw invalid(`The file announces more than ${MAX_ENTRIES} ${what}.`, count);
}

async function readMetadata(cursor: Cursor, count: number): Promise<Map<string, GgufValue>> {
  const values = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = await cursor.takeString(`metadata key ${i + 1} of ${count}`, MAX_KEY_BYTES);
    if (key === '') throw invalid('A metadata key is empty.', `key ${i + 1} of ${count}`);
    if (values.has(key)) throw invalid('A metadata key stands twice in the file.', quoted(key));
    values.set(key, await readValue(cursor, `the metadata value ${quoted(key)}`));
  }
  return values;
}

function readAlignment(metadata: GgufMetadata): number {
  const alignment = metadata.numberOr('general.alignment', defaultAlignment);
  const exponent = Math.log2(alignment);
  if (!(alignment >= 1 && alignment <= 2 ** 31 && Number.isInteger(exponent))) {
    throw invalid('The metadata key "general.alignment" is not a power of two.', alignment);
  }
  return alignment;
}

interface TensorInfo {
  name: string;
  type: GgmlType;
  dimensions: number[];
  /** From the start of the tensor data, in bytes. */
  relativeOffset: number;
  byteLength: number;
}

async function readTensorInfos(cursor: Cursor, count: number): Promise<TensorInfo[]> {
  const infos: TensorInfo[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    const info = await readTensorInfo(cursor, `the info of tensor ${i + 1} of ${count}`);
    if (names.has(info.name)) throw invalid('A tensor stands twice in the file.', quoted(info.name));
    names.add(info.name);
    infos.push(info);
  }
  return infos;
}

async function readTensorInfo(cursor: Cursor, what: string): Promise<TensorInfo> {
  const name = await cursor.takeString(what, MAX_KEY_BYTES);
  if (name === '') throw invalid('A tensor has no name.', what);
  await cursor.fill(4, what);
  const rank = cursor.take(4, (view, at) => view.getUint32(at, true));
  if (rank < 1 || rank > MAX_DIMENSIONS) {
    throw invalid(`The tensor ${quoted(name)} does not have 1 to ${MAX_DIMENSIONS} dimensions.`, rank);
  }
  await cursor.fill(rank * 8 + 12, what);
  const dimensions: number[] = [];
  while (dimensions.length < rank) {
    dimensions.push(Number(cursor.take(8, (view, at) => view.getBigUint64(at, true))));
  }
  const typeId = cursor.take(4, (view, at) => view.getUint32(at, true));
  const relativeOffset = Number(cursor.take(8, (view, at) => view.getBigUint64(at, true)));
  const type = ggmlTypeById(typeId);
  if (type === undefined) {
    throw llmError({
      code: 'unsupported-tensor-type',
      problem: `The storage type of tensor ${quoted(name)} is not known.`,
      found: typeId,
      remedy: 'Use a file quantised as Q4_0, Q4_1, Q8_0, Q4_K_M or F16, or convert the model with a current llama.cpp.',
    });
  }
  checkShape(name, type, dimensions);
  return { name, type, dimensions, relativeOffset, byteLength: ggmlByteLength(type, dimensions) };
}

function checkShape(name: string, type: GgmlType, dimensions: readonly number[]): void {
  const shape = dimensions.join(' x ');
  if (dimensions.includes(0)) throw invalid(`The tensor ${quoted(name)} has a dimension of 0.`, shape);
  const elements = dimensions.reduce((product, dimension) => product * dimension, 1);
  // A factor of 8 keeps the byte length, too, an exact integer.
  if (!Number.isSafeInteger(elements * 8)) throw invalid(`The tensor ${quoted(name)} is impossibly large.`, shape);
  const block = ggmlBlock(type).elements;
  if ((dimensions[0] as number) % block !== 0) {
    throw invalid(`The rows of tensor ${quoted(name)} are not whole blocks of ${block} (${type}).`, shape);
  }
}

/**
 * Gives each tensor its place in the file. A tensor that ends past the file is a truncated file where all the
 * tensors together would reach that far, and a wrong offset where they would not.
 */
function placeTensors(
  infos: readonly TensorInfo[],
  dataStart: number,
  alignment: number,
  fileBytes: number,
): Map<string, GgufTensor> {
  const paddedBytes = infos.reduce((sum, info) => sum + Math.ceil(info.byteLength / alignment) * alignment, 0);
  const tensors = new Map<string, GgufTensor>();
  for (const { name, type, dimensions, relativeOffset, byteLength } of infos) {
    if (relativeOffset % alignment !== 0) {
      throw invalid(`The offset of tensor ${quoted(name)} is not a multiple of ${alignment}.`, relativeOffset);
    }
    const offset = dataStart + relativeOffset;
    if (offset + byteLength > fileBytes) {
      const found = `${fileBytes} bytes, where the tensor takes ${byteLength} from ${offset}`;
      if (relativeOffset + byteLength > paddedBytes) {
        throw invalid(`The offset of tensor ${quoted(name)} lies outside the file.`, found);
      }
      throw truncated(`The file ends before the end of tensor ${quoted(name)}.`, found);
    }
    tensors.set(name, { name, type, dimensions, offset, byteLength });
  }
  refuseOverlap([...tensors.values()]);
  return tensors;
}

function refuseOverlap(tensors: GgufTensor[]): void {
  tensors.sort((a, b) => a.offset - b.offset);
  let previous: GgufTensor | undefined;
  for (const tensor of tensors) {
    if (previous !== undefined && tensor.offset < previous.offset + previous.byteLength) {
      throw invalid('Two tensors share bytes of the file.', `${quoted(previous.name)} and ${quoted(tensor.name)}`);
    }
    previous = tensor;
  }
}
