/** Checksums of what is kept of a cache: 64 bits of XXH64, which is as fast as memory is read. */
import xxhash from 'xxhash-wasm';

/** The checksum of bytes; another `seed`, another checksum. */
export type Checksum = (bytes: Uint8Array, seed: bigint) => bigint;

let loading: Promise<Checksum> | undefined;

/** The function, once its WebAssembly is there. */
export function loadChecksum(): Promise<Checksum> {
  loading ??= xxhash().then(
    ({ h64Raw }) =>
      (bytes, seed) =>
        h64Raw(bytes, seed),
  );
  return loading;
}
