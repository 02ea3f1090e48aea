/** The memory of caches of one shape, with its defaults. */
import type { Encoding, Precision } from '../kernels/layout.ts';
import type { ScanBasis } from '../kernels/scan-basis.ts';
import { createWasmKernels } from '../kernels/wasm/wasm-kernels.ts';
import { type KernelsFactory, MAX_ARENA_BYTES } from './arena.ts';
import { cacheShape, checkPositiveInteger, checkScanBases } from './shape.ts';
import { createSlabPool, type Region, type SlabPool } from './slab-pool.ts';

/** The shape of the caches of a pool, and where their memory ends. */
export interface CachePoolOptions {
  layers: number;
  keyValueHeads: number;
  /** Dimension of a head: a multiple of 8, at most 256. */
  headDim: number;
  /** How keys and values are kept: see `Precision`. Default: `f16`. */
  precision?: Precision | undefined;
  /** Encodings beside the exact rows, for selectors and tails that read them. Default: none. */
  encodings?: readonly Encoding[] | undefined;
  /**
   * The basis of each head's scan, (layers, keyValueHeads): see `chooseScanBasis`. Undefined for heads that are scanned by
   * signs. Default: all of them are.
   */
  scanBases?: readonly (ScanBasis | undefined)[] | undefined;
  /** Maximum number of bytes of one arena, at most 4 GiB. Default: 4 GiB. */
  arenaBytes?: number | undefined;
  /** Whether threads share the memory. Default: where the platform has SharedArrayBuffer. */
  shared?: boolean | undefined;
  /** Arithmetic. Default: WebAssembly. */
  createKernels?: KernelsFactory | undefined;
  /** Called with each region when it is made, before keys go into it: to allocate what is to be beside them. */
  onRegion?: ((region: Region) => void) | undefined;
}

/** Makes the memory that caches of one shape share. Throws `invalid-argument` or `cache-out-of-memory`. */
export function createCachePool(options: CachePoolOptions): SlabPool {
  const { arenaBytes = MAX_ARENA_BYTES, scanBases } = options;
  const shape = cacheShape(options);
  checkPositiveInteger('arenaBytes', arenaBytes);
  if (scanBases !== undefined) checkScanBases(scanBases, shape);
  return createSlabPool({
    shape,
    arenaBytes,
    scanBases,
    shared: options.shared ?? typeof SharedArrayBuffer !== 'undefined',
    createKernels: options.createKernels ?? createWasmKernels,
    onRegion: options.onRegion,
  });
}
