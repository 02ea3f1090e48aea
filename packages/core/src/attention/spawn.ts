/** The worker threads that do attention: one pool for all attentions of a thread. */

import { openBrowserThread, openNodeThread, type SpawnOptions, type Thread } from '../threads/platform.ts';
import { createThreadPool } from '../threads/pool.ts';

/** The helpers of all attentions of this thread. */
export const attentionThreads = createThreadPool({ spawn: spawnAttentionThread });

/** Starts a thread that runs `worker.ts`. */
async function spawnAttentionThread(options: SpawnOptions): Promise<Thread> {
  if (typeof Worker !== 'undefined') {
    // Written out, since this is how bundlers find the file.
    return openBrowserThread(new Worker(new URL('./worker.mjs', import.meta.url), { type: 'module' }), options);
  }
  // From the sources, in tests, the worker is TypeScript, which Node reads only with some help.
  const file = import.meta.url.endsWith('.ts') ? './worker.dev.mjs' : './worker.mjs';
  return openNodeThread(new URL(file, import.meta.url), options);
}
