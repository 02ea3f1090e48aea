/** Reads safetensors files: a length (8 bytes), a JSON header of that length, and the tensors' bytes. */
import { readFileSync } from 'node:fs';

export interface Safetensors {
  floats(name: string): Float32Array;
  integers(name: string): Int32Array;
}

export function readSafetensors(path: string): Safetensors {
  const file = readFileSync(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header: Record<string, { dtype: string; data_offsets: [number, number] }> = JSON.parse(
    file.toString('utf8', 8, 8 + headerBytes),
  );
  const bytesOf = (name: string, dtype: string): ArrayBuffer => {
    const entry = header[name];
    if (entry?.dtype !== dtype) throw new Error(`${path} has no ${dtype} tensor ${name}.`);
    const [from, to] = entry.data_offsets;
    return new Uint8Array(file.subarray(8 + headerBytes + from, 8 + headerBytes + to)).buffer;
  };
  return {
    floats: (name) => new Float32Array(bytesOf(name, 'F32')),
    integers: (name) => new Int32Array(bytesOf(name, 'I32')),
  };
}
