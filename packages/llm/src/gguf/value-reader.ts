/**
 * Reads one metadata value of a GGUF file (specification: docs/gguf.md of ggml, `gguf_metadata_value_t`).
 */
import type { Cursor } from './cursor.ts';
import { invalid } from './errors.ts';
import type { GgufArray, GgufValue } from './metadata.ts';

/** `gguf_metadata_value_type` */
const Uint8 = 0;
const Int8 = 1;
const Uint16 = 2;
const Int16 = 3;
const Uint32 = 4;
const Int32 = 5;
const Float32 = 6;
const Bool = 7;
const Text = 8;
const List = 9;
const Uint64 = 10;
const Int64 = 11;
const Float64 = 12;

/** The fewest bytes that a value of each type takes; also the list of known types. */
const MIN_BYTES: ReadonlyMap<number, number> = new Map([
  [Uint8, 1],
  [Int8, 1],
  [Uint16, 2],
  [Int16, 2],
  [Uint32, 4],
  [Int32, 4],
  [Float32, 4],
  [Bool, 1],
  [Text, 8],
  [List, 12],
  [Uint64, 8],
  [Int64, 8],
  [Float64, 8],
]);

/** Past both limits lie only damaged files: vocabularies have fewer than 2^20 entries, and nothing nests. */
const MAX_ARRAY_LENGTH = 1 << 24;
const MAX_ARRAY_DEPTH = 4;

/** Reads the value's type (4 bytes) and the value. `what` names it in errors. */
export async function readValue(cursor: Cursor, what: string): Promise<GgufValue> {
  return readTyped(cursor, await readType(cursor, what), what, 0);
}

async function readType(cursor: Cursor, what: string): Promise<number> {
  await cursor.fill(4, what);
  const type = cursor.take(4, (view, at) => view.getUint32(at, true));
  if (!MIN_BYTES.has(type)) throw invalid(`The type of ${what} is none that GGUF knows (0 to 12).`, type);
  return type;
}

async function readTyped(cursor: Cursor, type: number, what: string, depth: number): Promise<GgufValue> {
  if (type === Text) return cursor.takeString(what);
  if (type === List) return readArray(cursor, what, depth + 1);
  const bytes = MIN_BYTES.get(type) as number;
  await cursor.fill(bytes, what);
  return cursor.take(bytes, (view, at) => readScalar(view, at, type, what));
}

function readScalar(view: DataView, at: number, type: number, what: string): number | bigint | boolean {
  switch (type) {
    case Uint8:
      return view.getUint8(at);
    case Int8:
      return view.getInt8(at);
    case Uint16:
      return view.getUint16(at, true);
    case Int16:
      return view.getInt16(at, true);
    case Uint32:
      return view.getUint32(at, true);
    case Int32:
      return view.getInt32(at, true);
    case Float32:
      return view.getFloat32(at, true);
    case Uint64:
      return numberIfSafe(view.getBigUint64(at, true));
    case Int64:
      return numberIfSafe(view.getBigInt64(at, true));
    case Float64:
      return view.getFloat64(at, true);
    default: {
      const byte = view.getUint8(at);
      if (byte > 1) throw invalid(`The truth value of ${what} is neither 0 nor 1.`, byte);
      return byte === 1;
    }
  }
}

function numberIfSafe(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

async function readArray(cursor: Cursor, what: string, depth: number): Promise<GgufArray> {
  if (depth > MAX_ARRAY_DEPTH) throw invalid(`Arrays in ${what} nest more than ${MAX_ARRAY_DEPTH} deep.`, depth);
  const type = await readType(cursor, what);
  await cursor.fill(8, what);
  const length = Number(cursor.take(8, (view, at) => view.getBigUint64(at, true)));
  const bytesEach = MIN_BYTES.get(type) as number;
  cursor.expect(length, bytesEach, what);
  if (length > MAX_ARRAY_LENGTH) throw invalid(`The array in ${what} is longer than ${MAX_ARRAY_LENGTH}.`, length);
  if (type === Text) return readStrings(cursor, length, what);
  if (type === List) {
    const items: GgufArray[] = [];
    while (items.length < length) items.push(await readArray(cursor, what, depth + 1));
    return items;
  }
  return decodeScalars(await cursor.takeBytes(length * bytesEach, what), type, length, bytesEach, what);
}

async function readStrings(cursor: Cursor, length: number, what: string): Promise<string[]> {
  const strings: string[] = [];
  while (strings.length < length) strings.push(cursor.takeBufferedString(what) ?? (await cursor.takeString(what)));
  return strings;
}

/** Platforms that Node and browsers run on are little-endian, as the file is: typed arrays read it as it lies. */
function decodeScalars(
  bytes: Uint8Array<ArrayBuffer>,
  type: number,
  length: number,
  bytesEach: number,
  what: string,
): GgufArray {
  switch (type) {
    case Uint8:
      return bytes;
    case Int8:
      return new Int8Array(bytes.buffer);
    case Uint16:
      return new Uint16Array(bytes.buffer);
    case Int16:
      return new Int16Array(bytes.buffer);
    case Uint32:
      return new Uint32Array(bytes.buffer);
    case Int32:
      return new Int32Array(bytes.buffer);
    case Float32:
      return new Float32Array(bytes.buffer);
    case Float64:
      return new Float64Array(bytes.buffer);
    default: {
      const view = new DataView(bytes.buffer);
      const items = Array.from({ length }, (_, i) => readScalar(view, i * bytesEach, type, what));
      return items as boolean[] | (number | bigint)[];
    }
  }
}
