/** What a person sees while a command works: progress and notes on stderr, so that stdout stays clean. */

import { formatCount, type Work } from '@keysieve/lab';
import { Presets, SingleBar } from 'cli-progress';

export interface Progress {
  /** Work done, of a total; the first call draws the bar. */
  update(done: number, total: number, note?: string): void;
  stop(): void;
}

/** Seconds between the lines that stand for a bar where stderr is no terminal. */
const LINE_INTERVAL_MS = 2000;

/** A progress bar on stderr; lines, now and then, where that is no terminal. */
export function createProgress(label: string, unit: string): Progress {
  return process.stderr.isTTY ? barProgress(label, unit) : lineProgress(label, unit);
}

function barProgress(label: string, unit: string): Progress {
  const bar = new SingleBar(
    {
      format: `${label} {bar} {percentage} % | {value}/{total} ${unit} | {eta_formatted} left{note}`,
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      etaBuffer: 20,
    },
    Presets.shades_classic,
  );
  let drawn = false;
  return {
    update(done, total, note = '') {
      if (!drawn) bar.start(total, done, { note });
      else {
        bar.setTotal(total);
        bar.update(done, { note });
      }
      drawn = true;
    },
    stop() {
      if (drawn) bar.stop();
    },
  };
}

function lineProgress(label: string, unit: string): Progress {
  let next = performance.now() + LINE_INTERVAL_MS;
  return {
    update(done, total) {
      if (performance.now() < next) return;
      next = performance.now() + LINE_INTERVAL_MS;
      note(`${label} ${formatCount(done)} of ${formatCount(total)} ${unit}`);
    },
    stop() {},
  };
}

/** A line on stderr. */
export const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/**
 * A signal that the first Ctrl-C aborts; a second one ends the process at once. Call `release` when the work is done.
 */
export function abortOnInterrupt(): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  return { signal: controller.signal, release: () => process.off('SIGINT', interrupt) };
}

/**
 * Does the work of a command: draws its progress, notes on stderr what it says, and aborts it at the first Ctrl-C; a
 * second one ends the process at once.
 */
export async function withProgress<T>(work: (options: Work) => Promise<T>): Promise<T> {
  const { signal, release } = abortOnInterrupt();
  let current: { what: string; bar: Progress } | undefined;
  const stop = () => {
    current?.bar.stop();
    current = undefined;
  };
  const onProgress = (what: string, done: number, total: number) => {
    if (current?.what !== what) {
      stop();
      current = { what, bar: createProgress(what, '') };
    }
    current.bar.update(done, total);
    if (done >= total) stop();
  };
  const onNote = (text: string) => {
    stop();
    note(text);
  };
  try {
    return await work({ signal, onProgress, onNote });
  } finally {
    stop();
    release();
  }
}
