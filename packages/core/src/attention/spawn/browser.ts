/** `#attention-threads` in browsers. */
import { openBrowserThread, THREAD_NAME } from '../../threads/browser.ts';
import type { SpawnOptions, Thread } from '../../threads/thread.ts';

/** Memories that are sent to a new worker may arrive only once the thread that sends them runs its event loop. */
export const NEEDS_EVENT_LOOP = true;

/**
 * Starts a thread that does attention: `worker-browser.ts`, whose program is a text in this one, so that no bundler and no
 * page has to carry a second file along, and none has to be of the page's origin.
 */
export async function spawnAttentionThread(options: SpawnOptions): Promise<Thread> {
  // Loaded only where threads are started.
  const { default: workerSource } = await import('#attention-worker');
  const url = URL.createObjectURL(new Blob([workerSource], { type: 'text/javascript' }));
  return openBrowserThread(new Worker(url, { type: 'module', name: THREAD_NAME }), {
    ...options,
    onMessage(message) {
      URL.revokeObjectURL(url);
      options.onMessage(message);
    },
  });
}
