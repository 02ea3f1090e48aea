/**
 * What a person sees while a command works. All that goes to the terminal goes through here: results on stdout, progress
 * and notes on stderr, and the state of the terminal, which is put back however the command ends.
 */

import { formatCount, type Work, wrapLine } from '@keysieve/lab';
import { llmError, printableLines } from '@keysieve/llm';
import { Presets, SingleBar } from 'cli-progress';
import { EXIT, reportError } from './errors.ts';

export interface Progress {
  /** Work done, of a total; the first call draws the bar. */
  update(done: number, total: number, note?: string): void;
  stop(): void;
}

/** Time between the lines that stand for a bar where stderr is no terminal. */
const LINE_INTERVAL_MS = 2000;
/** A terminal that does not say how wide it is. */
const DEFAULT_COLUMNS = 80;
/** Columns that the figures behind a wide bar take: amounts with a share, the time that is left and a short note. */
const AMOUNT_COLUMNS = 48;
/** Columns of a share and the time that is left alone, ` 100 % | 59m59s left`, with two blanks; and of a note behind them. */
const SHARE_COLUMNS = 23;
const NOTE_COLUMNS = 36;
const BAR_COLUMNS = { min: 8, max: 40 };

/** Bars that are drawn now: each keeps the process alive and the cursor hidden until it is stopped. */
const bars = new Set<SingleBar>();
/** Work that an interrupt, or a reader who has left, ends. */
const controllers = new Set<AbortController>();
/** Why stdout cannot be written any more. */
let outputError: NodeJS.ErrnoException | undefined;

/** Takes bars away and shows the cursor. */
export function restoreTerminal(): void {
  for (const bar of bars) bar.stop();
  bars.clear();
}

/** Watches what happens to the process from outside: call it once, before any work. */
export function watchProcess(): void {
  process.on('exit', restoreTerminal);
  for (const [signal, code] of [
    ['SIGTERM', EXIT.terminated],
    ['SIGHUP', EXIT.hungUp],
  ] as const) {
    process.once(signal, () => process.exit(code));
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (outputError !== undefined) return;
    outputError = error;
    restoreTerminal();
    // A reader that has enough, as `head`, is no failure, and nothing is left to say.
    process.exitCode = error.code === 'EPIPE' ? EXIT.brokenPipe : reportError(outputUnwritable(error));
    for (const controller of controllers) controller.abort(error);
  });
  process.stderr.on('error', () => {});
  // Node would say the number of the process, and how a developer finds the place.
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message, detail }: Error & { detail?: string }) =>
    note(`${name === 'KeysieveWarning' ? 'warning' : name}: ${message}${detail ? `\n${detail}` : ''}`),
  );
}

/** What became of stdout: undefined while it can be written. */
export const brokenOutput = (): NodeJS.ErrnoException | undefined => outputError;

/** Writes lines of a result on stdout; JSON comes through `printableJson`. Throws `output-unwritable` where nobody reads it any more. */
export function print(text: string): void {
  if (outputError === undefined) process.stdout.write(printableLines(text));
  if (outputError !== undefined) throw outputUnwritable(outputError);
}

const outputUnwritable = (cause: NodeJS.ErrnoException) =>
  llmError({
    code: 'output-unwritable',
    problem: 'The output cannot be written.',
    found: cause.code,
    remedy: 'Make room, or write it elsewhere.',
    cause,
  });

/** Lines on stderr, above the bars; in a terminal they are broken at blanks. */
export const note = (text: string): void => {
  restoreTerminal();
  const width = process.stderr.columns || Number.POSITIVE_INFINITY;
  const lines = printableLines(text).split('\n');
  process.stderr.write(`${lines.map((line) => wrapLine(line, width)).join('\n')}\n`);
};

/** A progress bar on stderr; lines, now and then, where that is no terminal. */
export function createProgress(label: string, unit: string): Progress {
  return process.stderr.isTTY ? barProgress(printableLines(label), unit) : lineProgress(label, unit);
}

function barProgress(label: string, unit: string): Progress {
  let bar: SingleBar | undefined;
  let noteColumns = 0;
  return {
    update(done, total, text = '') {
      if (bar === undefined || !bars.has(bar)) {
        const layout = barLayout(label, unit);
        noteColumns = layout.noteColumns;
        bar = new SingleBar({ ...layout, stream: process.stderr, ...BAR_OPTIONS }, Presets.shades_classic);
        bars.add(bar);
        bar.start(total, done, { note: text.slice(0, noteColumns) });
        return;
      }
      bar.setTotal(total);
      bar.update(done, { note: text.slice(0, noteColumns) });
    },
    stop() {
      if (bar === undefined || !bars.delete(bar)) return;
      bar.stop();
    },
  };
}

const BAR_OPTIONS = { clearOnComplete: true, hideCursor: true, etaBuffer: 20 };

/** The figures come first where there is little room: a bar alone says nothing. Notes behind them fit the line. */
function barLayout(label: string, unit: string): { format: string; barsize: number; noteColumns: number } {
  const room = (process.stderr.columns || DEFAULT_COLUMNS) - 1;
  // A share is a figure by itself, and says little without its note.
  const isShare = unit === '%';
  const amounts = isShare ? '' : ` {value}/{total} ${unit} |`;
  const wide = room - label.length - (isShare ? SHARE_COLUMNS + NOTE_COLUMNS : AMOUNT_COLUMNS + unit.length);
  if (wide >= BAR_COLUMNS.min) {
    const barsize = Math.min(wide, BAR_COLUMNS.max);
    const noteColumns = isShare ? room - label.length - barsize - SHARE_COLUMNS : NOTE_COLUMNS;
    return { format: `${label} {bar} {percentage} % |${amounts} {eta_formatted} left{note}`, barsize, noteColumns };
  }
  const short = label.slice(0, Math.max(0, room - 16));
  const narrow = room - short.length - 16;
  const format = `{percentage} % {eta_formatted} ${short}`;
  return {
    format: narrow >= BAR_COLUMNS.min ? `${format} {bar}` : format,
    barsize: Math.max(1, Math.min(narrow, BAR_COLUMNS.max)),
    noteColumns: 0,
  };
}

function lineProgress(label: string, unit: string): Progress {
  let next = performance.now() + LINE_INTERVAL_MS;
  return {
    update(done, total, more = '') {
      if (performance.now() < next) return;
      next = performance.now() + LINE_INTERVAL_MS;
      note(`${label} ${formatCount(done)} of ${formatCount(total)} ${unit}${more}`);
    },
    stop() {},
  };
}

/**
 * A signal that the first Ctrl-C aborts, and a reader of stdout who has left; a second Ctrl-C ends the process at once.
 * Call `release` when the work is done.
 */
export function abortOnInterrupt(): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  controllers.add(controller);
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  const release = () => {
    controllers.delete(controller);
    process.off('SIGINT', interrupt);
  };
  return { signal: controller.signal, release };
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
