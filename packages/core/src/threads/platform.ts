/** Worker threads of Node and of the browser, under one small interface. */

/** The other end of a thread. */
export interface Thread {
  post(message: unknown): void;
  /**
   * Whether it has ended, found out without the event loop of the calling thread. A browser does not tell: false there.
   */
  hasEnded(): boolean;
  terminate(): Promise<unknown>;
}

/** The part of a worker of Node that is used here. */
interface NodeWorker {
  postMessage(message: unknown): void;
  terminate(): Promise<number>;
  unref(): void;
  readonly performance: { eventLoopUtilization(): { idle: number } };
  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'exit', listener: () => void): void;
  on(event: 'message', listener: (message: unknown) => void): void;
}

export interface SpawnOptions {
  onMessage(message: unknown): void;
  onError(error: Error): void;
  onExit(): void;
}

/** A thread of the browser, which does not tell when it ends. */
export function openBrowserThread(worker: Worker, { onMessage, onError }: SpawnOptions): Thread {
  worker.onmessage = ({ data }) => onMessage(data);
  worker.onerror = ({ message }) => onError(new Error(message));
  return {
    post: (message) => worker.postMessage(message),
    hasEnded: () => false,
    terminate: async () => worker.terminate(),
  };
}

/** A thread of Node that runs a file. */
export async function openNodeThread(file: URL, { onMessage, onError, onExit }: SpawnOptions): Promise<Thread> {
  const { Worker: NodeWorker } = await import('node:worker_threads');
  // A thread needs none of the process's flags, and a preload, a debugger or a test runner would run in each of them;
  // from the sources, in tests, it needs the loader of TypeScript.
  const options = import.meta.url.endsWith('.ts') ? {} : { execArgv: [] };
  return watchNodeThread(new NodeWorker(file, options), { onMessage, onError, onExit });
}

/** A worker of Node as a thread. Once it has answered, it does not keep the process alive. */
export function watchNodeThread(worker: NodeWorker, { onMessage, onError, onExit }: SpawnOptions): Thread {
  let exited = false;
  const idleMs = () => worker.performance.eventLoopUtilization().idle;
  worker.on('message', (message) => {
    worker.unref();
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
    terminate: () => worker.terminate(),
  };
}

/** Inside a thread: listens for messages, and returns what posts an answer. */
export async function listen(onMessage: (message: unknown) => void): Promise<(message: unknown) => void> {
  const scope = globalThis as unknown as {
    WorkerGlobalScope?: unknown;
    onmessage?: (event: { data: unknown }) => void;
    postMessage(message: unknown): void;
  };
  if (scope.WorkerGlobalScope !== undefined) {
    scope.onmessage = ({ data }) => onMessage(data);
    return (message) => scope.postMessage(message);
  }
  const { parentPort } = await import('node:worker_threads');
  if (parentPort === null) throw new Error('This module runs in a worker thread.');
  parentPort.on('message', onMessage);
  return (message) => parentPort.postMessage(message);
}
