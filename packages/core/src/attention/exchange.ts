/**
 * The exchange: the memory through which queries come in and outputs go out. It is an arena of its own, so that a cache
 * that has filled the first of its arenas still has room for the queries of the next chunk.
 */
import { type Arena, createArena, type KernelsFactory, LARGEST_ARENA_BYTES } from '../cache/arena.ts';
import { KeysieveError } from '../errors.ts';
import type { ExchangeAddresses } from './job.ts';

export interface Exchange {
  readonly arena: Arena;
  readonly addresses: Readonly<ExchangeAddresses>;
  /** Makes buffers at least as large as this, in bytes. Throws `cache-out-of-memory`. */
  makeRoom(bytes: Partial<ExchangeAddresses>): void;
}

export function createExchange(shared: boolean, createKernels: KernelsFactory): Exchange {
  const arena = createArena({ limit: LARGEST_ARENA_BYTES, shared, createKernels });
  const none: ExchangeAddresses = { queries: 0, outputs: 0, results: 0, partials: 0, plan: 0, sums: 0 };
  const addresses = { ...none };
  const sizes = { ...none };

  return {
    arena,
    addresses,
    makeRoom(bytes) {
      for (const [name, wanted] of Object.entries(bytes) as [keyof ExchangeAddresses, number][]) {
        if (wanted <= sizes[name]) continue;
        // Powers of two: a buffer that grows little by little is replaced a few times, and what it leaves fits others.
        const size = 2 ** Math.ceil(Math.log2(wanted));
        const address = arena.allocate(size);
        if (address === undefined) throw noRoom(wanted);
        if (sizes[name] > 0) arena.free(addresses[name], sizes[name]);
        addresses[name] = address;
        sizes[name] = size;
      }
    },
  };
}

function noRoom(bytes: number): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: 'There is no memory for the queries of a chunk.',
    found: `${bytes} bytes asked for`,
    remedy: 'Process the prompt in smaller chunks.',
  });
}
