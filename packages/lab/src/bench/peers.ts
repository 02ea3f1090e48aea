/** The engines to compare with, by name. */
import { labError } from '../errors.ts';
import { loadLlamaCpp } from './llama-cpp.ts';
import type { Peer, PeerCache, PeerOptions } from './peer.ts';

/** llama.cpp with the default cache, and with one of 8 bits a number. */
export const PEERS: Readonly<Record<string, PeerCache>> = { 'llama.cpp': 'f16', 'llama.cpp:q8_0': 'q8_0' };

/** Loads a peer by its name. Throws `invalid-argument` where the name is unknown or the engine is not installed. */
export function loadPeer(name: string, options: Omit<PeerOptions, 'cache'>): Promise<Peer> {
  const cache = PEERS[name];
  if (cache !== undefined) return loadLlamaCpp({ ...options, cache });
  throw labError({
    code: 'invalid-argument',
    problem: 'Unknown peer.',
    found: name,
    remedy: `Give one of ${Object.keys(PEERS).join(', ')}.`,
  });
}
