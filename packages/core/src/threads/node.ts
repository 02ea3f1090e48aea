/** Threads of Node. */
import { parentPort, Worker } from 'node:worker_threads';
import type { Listen, SpawnOptions, Thread } from './thread.ts';

/** A thread that runs a file. */
export function openNodeThread(file: URL, options: SpawnOptions): Thread {
  // A thread needs none of the process's flags, and a preload, a debugger or a test runner would run in each of them;
  // from the sources, in tests, it needs the loader of TypeScript.
  return watchNodeThread(new Worker(file, import.meta.url.endsWith('.ts') ? {} : { execArgv: [] }), options);
}

/** A worker of Node as a thread. Once it has answered, it does not keep the process alive. */
export function watchNodeThread(worker: Worker, { onMessage, onError, onExit }: SpawnOptions): Thread {
  let exited = false;
  let ending = false;
  const idleMs = () => worker.performance.eventLoopUtilization().idle;
  worker.on('message', (message) => {
    if (!ending) worker.unref();
    onMessage(message);
  });
  worker.on('error', onError);
  worker.on('exit', () => {
    exited = true;
    onExit();
  });
  return {
    post(message) {
      // It tells of a thread that has ended only where it was asked while the thread was there.
      idleMs();
      worker.postMessage(message);
    },
    // The idle time of a thread that has ended is -1, and the only thing that is known of it at once.
    hasEnded: () => exited || idleMs() < 0,
    terminate() {
      // Whoever waits for the end may have nothing else that keeps the process alive.
      ending = true;
      worker.ref();
      return worker.terminate();
    },
  };
}

export const listen: Listen = (onMessage) => {
  const port = parentPort;
  if (port === null) throw new Error('This module runs in a worker thread.');
  port.on('message', onMessage);
  return (message) => port.postMessage(message);
};
