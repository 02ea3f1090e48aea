/**
 * The memory through which several threads get queries and give outputs. It is an arena of its own, so that a cache that
 * has filled the first of its arenas still has room for the queries of the next chunk.
 */
import { type Arena, createArena, type KernelsFactory, MAX_ARENA_BYTES } from '../cache/arena.ts';
import { KeysieveError } from '../errors.ts';
import type { JobAddresses } from './job.ts';

export interface JobBuffers {
  readonly arena: Arena;
  readonly addresses: Readonly<JobAddresses>;
  /** Makes buffers at least as large as this, in bytes. Throws `cache-out-of-memory`. */
  ensureCapacity(bytes: Partial<JobAddresses>): void;
}

export function createJobBuffers(shared: boolean, createKernels: KernelsFactory): JobBuffers {
  const arena = createArena({ limit: MAX_ARENA_BYTES, shared, createKernels });
  const empty: JobAddresses = { queries: 0, outputs: 0, results: 0, partials: 0, measurePlan: 0, blockErrors: 0 };
  const addresses = { ...empty };
  const sizes = { ...empty };

  return {
    arena,
    addresses,
    ensureCapacity(bytes) {
      for (const [name, requiredBytes] of Object.entries(bytes) as [keyof JobAddresses, number][]) {
        if (requiredBytes <= sizes[name]) continue;
        // Powers of two: a buffer that grows little by little is replaced a few times, and what it leaves fits others.
        const size = 2 ** Math.ceil(Math.log2(requiredBytes));
        const address = arena.allocate(size);
        if (address === undefined) throw outOfMemory(requiredBytes);
        if (sizes[name] > 0) arena.free(addresses[name], sizes[name]);
        addresses[name] = address;
        sizes[name] = size;
      }
    },
  };
}

function outOfMemory(bytes: number): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: 'There is no memory for the queries of a chunk.',
    found: `${bytes} bytes requested`,
    remedy: 'Process the prompt in smaller chunks.',
  });
}
