/** Reads safetensors files: the length of a JSON header (8 bytes), the header, and the tensors' bytes. */
import { readFile } from 'node:fs/promises';

export interface Safetensors {
  has(name: string): boolean;
  /** A tensor of 32-bit floats, in the order of the file. */
  f32(name: string): Float32Array;
  /** A tensor of 32-bit integers. */
  i32(name: string): Int32Array;
}

export async function openSafetensors(path: string): Promise<Safetensors> {
  const file = await readFile(path);
  const dataStart = 8 + Number(file.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; data_offsets: [number, number] }> = JSON.parse(
    file.toString('utf8', 8, dataStart),
  );
  const bytesOf = (name: string, dtype: string): ArrayBuffer => {
    const entry = header[name];
    if (entry?.dtype !== dtype) throw new Error(`${path} has no tensor ${name} of type ${dtype}.`);
    const [from, to] = entry.data_offsets;
    return new Uint8Array(file.subarray(dataStart + from, dataStart + to)).buffer;
  };
  return {
    has: (name) => name in header,
    f32: (name) => new Float32Array(bytesOf(name, 'F32')),
    i32: (name) => new Int32Array(bytesOf(name, 'I32')),
  };
}
