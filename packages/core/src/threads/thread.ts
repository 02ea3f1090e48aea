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

/** How the owner of a thread hears of it. */
export interface SpawnOptions {
  onMessage(message: unknown): void;
  onError(error: Error): void;
  onExit(): void;
}

/** Inside a thread: listens for messages, and gives what posts an answer. */
export type Listen = (onMessage: (message: unknown) => void) => (message: unknown) => void;
