/**
 * An arena: one WebAssembly memory of at most 4 GiB, which grows in place, and the blocks given out of it. A cache
 * takes as many arenas as it needs.
 */
import { KeysieveError } from '../errors.ts';
import type { Kernels } from '../kernels/kernels.ts';
import { PARAMETER_BYTES } from '../kernels/structs.ts';
import { type Views, viewsOf } from '../kernels/views.ts';

const WASM_PAGE_BYTES = 65_536;
/**
 * What 32-bit addresses reach, less one page of WebAssembly: the address behind a block, where a kernel's loop ends,
 * must be an address too, and not wrap to 0.
 */
export const MAX_ARENA_BYTES = 2 ** 32 - WASM_PAGE_BYTES;

/** Blocks begin on cache lines, and address 0 is given to nobody. */
const ALIGNMENT = 64;
/** Parameter blocks of the kernels that the owner of an arena uses lie before the first block. */
export const OWNER_PARAMETERS = ALIGNMENT;

/** Address of the first block. */
export const FIRST_BLOCK = OWNER_PARAMETERS + Math.ceil(PARAMETER_BYTES / ALIGNMENT) * ALIGNMENT;

/** Makes the kernels that work on a memory, of which they have PARAMETER_BYTES from `parameters` on to themselves. */
export type KernelsFactory = (memory: WebAssembly.Memory, parameters: number) => Kernels;

export interface Arena {
  readonly memory: WebAssembly.Memory;
  readonly kernels: Kernels;
  /** Views of the whole memory, for numbers at an address: `views().f32[address / 4]`. */
  readonly views: () => Views;
  /** Bytes given out. */
  readonly usedBytes: number;
  /** Address of a new block, or undefined when the arena or the machine has no room for it. */
  allocate(bytes: number): number | undefined;
  /** Takes a block back. */
  free(address: number, bytes: number): void;
}

export interface ArenaOptions {
  /** Bytes at which the arena is full: at most 4 GiB. */
  limit: number;
  /** Whether threads share the memory. */
  shared: boolean;
  createKernels: KernelsFactory;
}

export function createArena({ limit, shared, createKernels }: ArenaOptions): Arena {
  const wantedPages = Math.max(1, Math.floor(Math.min(limit, MAX_ARENA_BYTES) / WASM_PAGE_BYTES));
  const { memory, maxWasmPages } = createMemory(wantedPages, shared);
  const views = viewsOf(memory);
  const freeBlocks = new Map<number, number[]>();
  let end = FIRST_BLOCK;
  let usedBytes = 0;

  return {
    memory,
    kernels: createKernels(memory, OWNER_PARAMETERS),
    views,
    get usedBytes() {
      return usedBytes;
    },
    allocate(bytes) {
      const size = roundUp(bytes);
      const recycled = freeBlocks.get(size)?.pop();
      if (recycled !== undefined) {
        usedBytes += size;
        return recycled;
      }
      const missingBytes = end + size - memory.buffer.byteLength;
      if (missingBytes > 0 && !grow(memory, missingBytes, maxWasmPages)) return undefined;
      const address = end;
      end += size;
      usedBytes += size;
      return address;
    },
    free(address, bytes) {
      const size = roundUp(bytes);
      const list = freeBlocks.get(size);
      if (list) list.push(address);
      else freeBlocks.set(size, [address]);
      usedBytes -= size;
    },
  };
}

/** A memory that can grow to as many pages, or where a device gives no such address space, to half or a quarter of them. */
function createMemory(wantedPages: number, shared: boolean): { memory: WebAssembly.Memory; maxWasmPages: number } {
  for (let maxWasmPages = wantedPages; ; maxWasmPages = Math.ceil(maxWasmPages / 2)) {
    try {
      return { memory: new WebAssembly.Memory({ initial: 1, maximum: maxWasmPages, shared }), maxWasmPages };
    } catch (cause) {
      if (maxWasmPages > wantedPages / 4) continue;
      throw new KeysieveError({
        code: 'cache-out-of-memory',
        problem: 'The platform gives no address space for another WebAssembly memory.',
        found: `${maxWasmPages * WASM_PAGE_BYTES} bytes asked for`,
        remedy: 'Dispose of caches that are no longer used, or lower arenaBytes.',
        cause,
      });
    }
  }
}

/** Grows by what is missing. Untouched pages cost no resident memory, but the platform may still say no. */
function grow(memory: WebAssembly.Memory, missingBytes: number, maxWasmPages: number): boolean {
  const pages = Math.ceil(missingBytes / WASM_PAGE_BYTES);
  if (memory.buffer.byteLength / WASM_PAGE_BYTES + pages > maxWasmPages) return false;
  try {
    memory.grow(pages);
    return true;
  } catch {
    return false;
  }
}

const roundUp = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
