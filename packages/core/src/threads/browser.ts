/** Threads of the browser. */
import type { Listen, SpawnOptions, Thread } from './thread.ts';

/** The name of workers that are threads: a file that has other work for other workers tells them by it. */
export const THREAD_NAME = 'keysieve';

/** A thread of the browser, which does not tell when it ends. */
export function openBrowserThread(worker: Worker, { onMessage, onError }: SpawnOptions): Thread {
  worker.onmessage = ({ data }) => onMessage(data);
  worker.onerror = ({ message }) => onError(new Error(message || 'the worker could not be started'));
  return {
    post: (message) => worker.postMessage(message),
    hasEnded: () => false,
    terminate: async () => worker.terminate(),
  };
}

export const listen: Listen = (onMessage) => {
  const scope = globalThis as unknown as {
    onmessage: (event: { data: unknown }) => void;
    postMessage(message: unknown): void;
  };
  scope.onmessage = ({ data }) => onMessage(data);
  return (message) => scope.postMessage(message);
};
