/** The metadata of a GGUF file with the types of its values, for copies: the reader of Keysieve does not keep them. */
import { readFile } from 'node:fs/promises';
import { type ScalarType, VALUE_TYPES, type WrittenValue } from '../../packages/llm/test/gguf-writer.ts';

const typeNames: ReadonlyMap<number, keyof typeof VALUE_TYPES> = new Map(
  Object.entries(VALUE_TYPES).map(([name, id]) => [id, name as keyof typeof VALUE_TYPES]),
);

/** Key and value in the order of the file, which must be a valid one of version 3. */
export async function readTypedMetadata(path: string): Promise<[string, WrittenValue][]> {
  const file = await readFile(path);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = 0;
  const take = <T>(bytes: number, read: (at: number) => T): T => {
    const value = read(at);
    at += bytes;
    return value;
  };
  const u32 = () => take(4, (at) => view.getUint32(at, true));
  const u64 = () => Number(take(8, (at) => view.getBigUint64(at, true)));
  const text = () => {
    const bytes = u64();
    return take(bytes, (at) => file.toString('utf8', at, at + bytes));
  };
  const scalars: Record<ScalarType, () => string | number | bigint | boolean> = {
    u8: () => take(1, (at) => view.getUint8(at)),
    i8: () => take(1, (at) => view.getInt8(at)),
    u16: () => take(2, (at) => view.getUint16(at, true)),
    i16: () => take(2, (at) => view.getInt16(at, true)),
    u32,
    i32: () => take(4, (at) => view.getInt32(at, true)),
    f32: () => take(4, (at) => view.getFloat32(at, true)),
    bool: () => take(1, (at) => view.getUint8(at) !== 0),
    string: text,
    u64: () => take(8, (at) => view.getBigUint64(at, true)),
    i64: () => take(8, (at) => view.getBigInt64(at, true)),
    f64: () => take(8, (at) => view.getFloat64(at, true)),
  };
  const value = (type: keyof typeof VALUE_TYPES): WrittenValue => {
    if (type !== 'array') return { type, value: scalars[type]() };
    const of = typeNames.get(u32()) as keyof typeof VALUE_TYPES;
    const length = u64();
    if (of === 'array') return { type, of, value: Array.from({ length }, () => value(of)) };
    return { type, of, value: Array.from({ length }, scalars[of]) };
  };
  at = 16;
  const count = u64();
  return Array.from({ length: count }, () => {
    const key = text();
    return [key, value(typeNames.get(u32()) as keyof typeof VALUE_TYPES)];
  });
}
