/**
 * Ends a stream of text at the first stop string. Text that may be the beginning of one is held back until that is
 * decided, so that nothing of a stop string is ever given out. Names of control tokens are looked through as well, though
 * they are no part of the text that is given out.
 */
export interface StopFilter {
  /**
   * Takes more text; returns what can be given out, and whether a stop string has come, and which. `hidden` text counts
   * for stop strings alone.
   */
  append(text: string, options?: { hidden?: boolean }): { text: string; stopped: boolean; stop?: string };
  /** What was held back, when the stream ends by itself. */
  flush(): string;
}

interface Piece {
  text: string;
  hidden: boolean;
}

export function createStopFilter(stopStrings: readonly string[]): StopFilter {
  const stops = stopStrings.filter((stop) => stop !== '');
  let pending: Piece[] = [];

  /** Takes the first `length` characters of what is pending, and gives those of them that are not hidden. */
  function take(length: number): string {
    let taken = '';
    let rest = length;
    const kept: Piece[] = [];
    for (const { text, hidden } of pending) {
      const part = text.slice(0, rest);
      rest -= part.length;
      if (!hidden) taken += part;
      if (part.length < text.length) kept.push({ text: text.slice(part.length), hidden });
    }
    pending = kept;
    return taken;
  }

  return {
    append(text, { hidden = false } = {}) {
      if (text !== '') pending.push({ text, hidden });
      const full = pending.map((piece) => piece.text).join('');
      const matches = stops.map((stop) => ({ stop, at: full.indexOf(stop) })).filter(({ at }) => at !== -1);
      const [first] = matches.sort((a, b) => a.at - b.at);
      if (first !== undefined) {
        const ready = take(first.at);
        pending = [];
        return { text: ready, stopped: true, stop: first.stop };
      }
      const heldLength = Math.max(0, ...stops.map((stop) => overlap(full, stop)));
      return { text: take(full.length - heldLength), stopped: false };
    },
    flush: () => take(Number.POSITIVE_INFINITY),
  };
}

/** Length of the longest end of `text` that a stop string begins with. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (stop.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}
