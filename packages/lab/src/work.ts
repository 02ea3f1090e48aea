/** How a caller watches long work, and stops it. */
export interface WorkOptions {
  /** Aborts the work; the promise then rejects with its reason. Default: it runs to its end. */
  signal?: AbortSignal | undefined;
  /** Called as the work goes on: what is being done, and how much of it is done, of a total. */
  onProgress?: ((what: string, done: number, total: number) => void) | undefined;
  /** Called with what the caller should know, such as that a file was cut off. */
  onNote?: ((text: string) => void) | undefined;
}

/** `WorkOptions` with every default in its place. */
export interface Work {
  signal: AbortSignal;
  onProgress(what: string, done: number, total: number): void;
  onNote(text: string): void;
}

/** Puts the defaults in. */
export const workOf = ({ signal, onProgress = () => {}, onNote = () => {} }: WorkOptions): Work => ({
  signal: signal ?? new AbortController().signal,
  onProgress,
  onNote,
});

/** Lets an interrupt and the progress come through between two pieces of work. Throws where the work was aborted. */
export async function yieldToEventLoop(signal: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal.throwIfAborted();
}
