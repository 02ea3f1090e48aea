/**
 * Readers of plain floats: F32, F16 and BF16 (the upper half of a float32). A block is one value.
 */
import { float16Table } from '../float16.ts';
import { uint16 } from './formats.ts';

export function readF32(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  new Uint8Array(values.buffer, values.byteOffset, blocks * 4).set(bytes);
}

export function readF16(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  const float16 = float16Table();
  for (let i = 0; i < blocks; i++) values[i] = float16[uint16(bytes, 2 * i)] as number;
}

export function readBf16(bytes: Uint8Array, blocks: number, values: Float32Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, blocks);
  for (let i = 0; i < blocks; i++) bits[i] = uint16(bytes, 2 * i) << 16;
}
