/** Starts worker threads that do attention. */
import { openBrowserThread, openNodeThread, type SpawnOptions, type Thread } from '../threads/platform.ts';

/** Starts a thread that runs `worker.ts`. */
export async function spawnAttentionThread(options: SpawnOptions): Promise<Thread> {
  if (typeof Worker !== 'undefined') {
    // Written out, since this is how bundlers find the file.
    return openBrowserThread(new Worker(new URL('./worker.mjs', import.meta.url), { type: 'module' }), options);
  }
  // From the sources, in tests, the worker is TypeScript, which Node reads only with some help.
  const file = import.meta.url.endsWith('.ts') ? './worker.dev.mjs' : './worker.mjs';
  return openNodeThread(new URL(file, import.meta.url), options);
}
