/**
 * Ends a stream of text at the first stop string. Text that may be the beginning of one is held back until that is
 * decided, so that nothing of a stop string is ever given out.
 */
export interface StopFilter {
  /** Takes more text; returns what can be given out, and whether a stop string has come. */
  append(text: string): { text: string; stopped: boolean };
  /** What was held back, when the stream ends by itself. */
  flush(): string;
}

export function createStopFilter(stopStrings: readonly string[]): StopFilter {
  const stops = stopStrings.filter((stop) => stop !== '');
  let pending = '';
  return {
    append(text) {
      pending += text;
      const matches = stops.map((stop) => pending.indexOf(stop)).filter((at) => at !== -1);
      if (matches.length > 0) {
        const text = pending.slice(0, Math.min(...matches));
        pending = '';
        return { text, stopped: true };
      }
      const heldLength = Math.max(0, ...stops.map((stop) => overlap(pending, stop)));
      const ready = pending.slice(0, pending.length - heldLength);
      pending = pending.slice(pending.length - heldLength);
      return { text: ready, stopped: false };
    },
    flush() {
      const rest = pending;
      pending = '';
      return rest;
    },
  };
}

/** Length of the longest end of `text` that a stop string begins with. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (stop.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}
