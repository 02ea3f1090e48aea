/**
 * What the readers of storage formats share. All of them compute in double precision and round once, when the value
 * is stored: products of a half-precision scale (11 bits) with the small integers of a block are exact in float32,
 * so ggml's float32 arithmetic, too, rounds only in its last step, and the results are equal bit by bit.
 */

/** Reads `blocks` whole blocks from `bytes` into `values` (blocks * elements of the block). */
export type BlockReader = (bytes: Uint8Array, blocks: number, values: Float32Array) => void;

/** Little-endian 16 bits at `at`. */
export function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}
