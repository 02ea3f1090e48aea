/** Keys, values and queries of a real model, from `../shared/captures`, which is never committed. */
import { existsSync, readFileSync } from 'node:fs';
import { float16ToFloat32 } from '../src/kernels/float16.ts';

/** One key-value head: keys and values (n, d), and the queries (heads, last, d) of the last positions. */
export interface CapturedHead {
  name: string;
  headDim: number;
  keys: Float32Array;
  values: Float32Array;
  queries: Float32Array;
  /** Query heads that share the key-value head, and positions that have queries. */
  heads: number;
  lastPositions: number;
}

const pathOf = (name: string) => new URL(`../../../../shared/captures/${name}.safetensors`, import.meta.url);

/** Whether a capture is there; says on stderr what is skipped where it is not. */
export function hasCapture(name: string): boolean {
  const exists = existsSync(pathOf(name));
  if (!exists) console.warn(`skipped: needs ../shared/captures/${name}.safetensors, which is not there`);
  return exists;
}

/** The heads of a capture, of float16. */
export function readCapture(name: string): CapturedHead[] {
  const file = readFileSync(pathOf(name));
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header: Record<string, { data_offsets: [number, number]; shape: number[] }> = JSON.parse(
    file.toString('utf8', 8, start),
  );
  const tensor = (tensorName: string) => {
    const { data_offsets, shape } = header[tensorName] ?? { data_offsets: [0, 0], shape: [] };
    const bytes = file.subarray(start + data_offsets[0], start + data_offsets[1]);
    // Halves lie at even addresses only in a buffer of their own.
    return { shape, numbers: Float32Array.from(new Uint16Array(new Uint8Array(bytes).buffer), float16ToFloat32) };
  };
  const names = Object.keys(header).flatMap((key) => (key.endsWith('.k') ? [key.slice(0, -2)] : []));
  return names.map((head) => {
    const queries = tensor(`${head}.q`);
    const [heads = 0, lastPositions = 0, headDim = 0] = queries.shape;
    const [keys, values] = [tensor(`${head}.k`).numbers, tensor(`${head}.v`).numbers];
    return { name: head, headDim, keys, values, queries: queries.numbers, heads, lastPositions };
  });
}
