/**
 * Writes small GGUF files for tests, right or wrong in any field: what the reader must refuse can be written, too.
 */
import type { GgmlType } from '../src/gguf/types.ts';
import { ggmlByteLength, ggmlTypeId } from '../src/gguf/types.ts';

/** `gguf_metadata_value_type`; `array` holds values of one type. */
export const VALUE_TYPES = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

export type ScalarType = Exclude<keyof typeof VALUE_TYPES, 'array'>;

export type WrittenValue =
  | { type: ScalarType; value: string | number | bigint | boolean }
  | { type: 'array'; of: ScalarType; value: readonly (string | number | bigint | boolean)[] }
  | { type: 'array'; of: 'array'; value: readonly WrittenValue[] };

export interface WrittenTensor {
  name: string;
  /** A type of ggml, or any number to write in its place. */
  type: GgmlType | number;
  dimensions: readonly (number | bigint)[];
  /** Filled up with zeros, or cut, to the length that type and dimensions give. */
  data?: Uint8Array;
  /** From the start of the tensor data; by default behind the tensor before. */
  offset?: number | bigint;
}

export interface WrittenFile {
  magic?: string;
  version?: number;
  metadata?: readonly (readonly [key: string, value: WrittenValue])[];
  tensors?: readonly WrittenTensor[];
  /** Written in place of the true counts. */
  tensorCount?: number | bigint;
  metadataCount?: number | bigint;
  alignment?: number;
}

/** The file's bytes. */
export function writeGguf(file: WrittenFile): Buffer {
  const { tensors = [], alignment = 32 } = file;
  return Buffer.concat([ggufHeader(file), ...tensors.map((tensor) => padded(tensorBytes(tensor), alignment))]);
}

/** All that stands before the tensors' bytes, which follow in their order, each filled up to the alignment. */
export function ggufHeader(file: WrittenFile): Buffer {
  const { magic = 'GGUF', version = 3, metadata = [], tensors = [], alignment = 32 } = file;
  const header: Buffer[] = [
    Buffer.from(magic, 'latin1'),
    scalar('u32', version),
    scalar('u64', file.tensorCount ?? tensors.length),
    scalar('u64', file.metadataCount ?? metadata.length),
  ];
  for (const [key, value] of metadata) header.push(scalar('string', key), Buffer.concat(typedValue(value)));
  let dataBytes = 0;
  for (const tensor of tensors) {
    header.push(...tensorInfo(tensor, tensor.offset ?? dataBytes));
    dataBytes += Math.ceil(tensorByteLength(tensor) / alignment) * alignment;
  }
  return padded(Buffer.concat(header), alignment);
}

function tensorInfo({ name, type, dimensions }: WrittenTensor, offset: number | bigint): Buffer[] {
  return [
    scalar('string', name),
    scalar('u32', dimensions.length),
    ...dimensions.map((dimension) => scalar('u64', dimension)),
    scalar('u32', typeof type === 'number' ? type : ggmlTypeId(type)),
    scalar('u64', offset),
  ];
}

function tensorByteLength({ type, dimensions }: WrittenTensor): number {
  const length = typeof type === 'number' ? 0 : ggmlByteLength(type, dimensions.map(Number));
  return Number.isInteger(length) ? length : 0;
}

/** Sizes that no test means are not allocated. */
function tensorBytes(tensor: WrittenTensor): Buffer {
  const length = tensorByteLength(tensor);
  const bytes = Buffer.alloc(length < 2 ** 24 ? length : 0);
  if (tensor.data !== undefined) bytes.set(tensor.data.subarray(0, bytes.length));
  return bytes;
}

function typedValue(value: WrittenValue): Buffer[] {
  return [scalar('u32', VALUE_TYPES[value.type]), ...untypedValue(value)];
}

function untypedValue(value: WrittenValue): Buffer[] {
  if (value.type !== 'array') return [scalar(value.type, value.value)];
  const start = [scalar('u32', VALUE_TYPES[value.of]), scalar('u64', value.value.length)];
  if (value.of === 'array') return start.concat(value.value.flatMap(untypedValue));
  return start.concat(value.value.map((item) => scalar(value.of, item)));
}

function scalar(type: ScalarType, value: string | number | bigint | boolean): Buffer {
  if (type === 'string') {
    const text = Buffer.from(String(value), 'utf8');
    return Buffer.concat([scalar('u64', text.length), text]);
  }
  const bytes = Buffer.alloc({ u8: 1, i8: 1, bool: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4 }[type as 'u8'] ?? 8);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  switch (type) {
    case 'u8':
    case 'bool':
      view.setUint8(0, Number(value));
      break;
    case 'i8':
      view.setInt8(0, Number(value));
      break;
    case 'u16':
      view.setUint16(0, Number(value), true);
      break;
    case 'i16':
      view.setInt16(0, Number(value), true);
      break;
    case 'u32':
      view.setUint32(0, Number(value), true);
      break;
    case 'i32':
      view.setInt32(0, Number(value), true);
      break;
    case 'f32':
      view.setFloat32(0, Number(value), true);
      break;
    case 'f64':
      view.setFloat64(0, Number(value), true);
      break;
    default:
      view.setBigUint64(0, BigInt.asUintN(64, BigInt(value as number | bigint)), true);
  }
  return bytes;
}

function padded(bytes: Buffer, alignment: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((alignment - (bytes.length % alignment)) % alignment)]);
}
