/**
 * Safetensors files of F16 or F32 tensors: the length of a JSON header (8 bytes, little endian), the header, and the
 * tensors' bytes. Reading is strict: everything that the header promises must be there, and be finite.
 */
import { readFile } from 'node:fs/promises';
import { float16ToFloat32, float32ToFloat16 } from 'keysieve/engine';
import { labError } from '../errors.ts';
import { writeOutput } from '../files/output-file.ts';

/** A tensor as float32. */
export interface Tensor {
  shape: readonly number[];
  numbers: Float32Array;
}

/** An open file. */
export interface TensorFile {
  readonly path: string;
  readonly names: readonly string[];
  /** A tensor of float16 or float32 as float32. Throws `invalid-file`. */
  tensor(name: string): Tensor;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

const BYTES: Readonly<Record<string, number>> = { F16: 2, F32: 4 };

const invalid = (path: string, problem: string, found: string | number) =>
  labError({
    code: 'invalid-file',
    problem: `${path} ${problem}`,
    found,
    remedy: 'Give a complete safetensors file of F16 or F32 tensors.',
  });

/** Opens a file. Throws `file-not-found` or `invalid-file`. */
export async function openTensors(path: string): Promise<TensorFile> {
  const file = await readFile(path).catch((cause) => {
    throw labError({
      code: 'file-not-found',
      problem: 'The capture cannot be read.',
      found: path,
      remedy: 'Check the path.',
      cause,
    });
  });
  const header = readHeader(path, file);
  const data = file.subarray(8 + Number(file.readBigUInt64LE(0)));
  return {
    path,
    names: Object.keys(header),
    tensor(name) {
      const entry = header[name];
      if (entry === undefined) throw invalid(path, `has no tensor ${name}.`, Object.keys(header).join(', '));
      const { dtype, shape, data_offsets: offsets } = entry;
      const size = BYTES[dtype];
      if (size === undefined) throw invalid(path, `has the tensor ${name} in an unsupported type.`, dtype);
      const [from, to] = offsets;
      const count = shape.reduce((product, x) => product * x, 1);
      if (to - from !== count * size)
        throw invalid(path, `has bytes for ${name} that do not match its shape.`, to - from);
      if (to > data.length) throw invalid(path, `ends before its tensor ${name} does.`, `${data.length} bytes of data`);
      // A copy of its own: offsets need not be aligned.
      const bytes = new Uint8Array(data.subarray(from, to)).buffer;
      const numbers =
        dtype === 'F32' ? new Float32Array(bytes) : Float32Array.from(new Uint16Array(bytes), float16ToFloat32);
      const nonFiniteIndex = numbers.findIndex((x) => !Number.isFinite(x));
      if (nonFiniteIndex !== -1)
        throw invalid(path, `has a number in ${name} that is not finite.`, numbers[nonFiniteIndex] as number);
      return { shape, numbers };
    },
  };
}

function readHeader(path: string, file: Buffer): Record<string, Entry> {
  if (file.length < 8) throw invalid(path, 'is too short for a safetensors file.', `${file.length} bytes`);
  const length = Number(file.readBigUInt64LE(0));
  if (8 + length > file.length) throw invalid(path, 'ends before its header does.', `${file.length} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(file.toString('utf8', 8, 8 + length));
  } catch {
    throw invalid(path, 'has a header that is not JSON.', `${length} bytes of header`);
  }
  const entries = Object.entries(parsed as Record<string, Entry>).filter(([name]) => name !== '__metadata__');
  for (const [name, { shape, data_offsets: offsets }] of entries) {
    const isCount = (x: unknown) => Number.isSafeInteger(x) && (x as number) >= 0;
    const isValid = Array.isArray(shape) && shape.every(isCount) && Array.isArray(offsets) && offsets.every(isCount);
    if (!isValid || offsets.length !== 2 || (offsets[0] as number) > (offsets[1] as number)) {
      throw invalid(path, `has an invalid entry for ${name}.`, JSON.stringify({ shape, offsets }));
    }
  }
  return Object.fromEntries(entries);
}

/** Types of numbers in a file. */
export type TensorType = 'F16' | 'F32';

/** Writes tensors into a file, in the order of the record; `metadata` goes into the header. Throws `output-unwritable`. */
export async function writeTensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  type: TensorType,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: metadata };
  const parts: Uint8Array[] = [];
  let offset = 0;
  for (const [name, { shape, numbers }] of Object.entries(tensors)) {
    const bytes = encode(numbers, type);
    header[name] = { dtype: type, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    parts.push(bytes);
  }
  const json = Buffer.from(JSON.stringify(header));
  // Blanks after the header align the numbers to 8 bytes.
  const blanks = Buffer.alloc((8 - (json.length % 8)) % 8, ' ');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length + blanks.length));
  await writeOutput(path, Buffer.concat([length, json, blanks, ...parts]));
}

function encode(numbers: Float32Array, type: TensorType): Uint8Array {
  const { buffer, byteOffset, byteLength } = type === 'F32' ? numbers : Uint16Array.from(numbers, float32ToFloat16);
  return new Uint8Array(buffer, byteOffset, byteLength);
}
