/** `#attention-threads` in Node. */
import { openNodeThread } from '../../threads/node.ts';
import type { SpawnOptions, Thread } from '../../threads/thread.ts';

/** Messages arrive, whatever the thread does that has sent them. */
export const NEEDS_EVENT_LOOP = false;

/** Starts a thread that does attention: `worker-node.ts`. */
export async function spawnAttentionThread(options: SpawnOptions): Promise<Thread> {
  // From the sources, in tests, the worker is TypeScript, which Node reads only with some help.
  const file = import.meta.url.endsWith('.ts') ? './worker-node.dev.mjs' : './worker.mjs';
  return openNodeThread(new URL(file, import.meta.url), options);
}
