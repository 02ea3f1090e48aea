/**
 * Results that are saved as they come, so that an interrupted run continues where it was. A file of lines: a header, then
 * one line a result with the run that it belongs to, its key in the run, and a checksum. Runs with other models, texts
 * and settings may share a file: each finds only its own results.
 */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { acquireLock } from '@keysieve/llm/internal';
import { KeysieveError, type PolicySpec } from 'keysieve';
import { labError } from '../errors.ts';
import { readInput } from '../files/input-file.ts';
import { outputUnwritable, writeOutput } from '../files/output-file.ts';
import { textHash } from './text-hash.ts';

/** The key of a policy. Plans are long, so their hash stands for them. */
export const policyKey = ({ plan, ...spec }: PolicySpec) =>
  plan === undefined ? spec : { ...spec, plan: textHash(JSON.stringify(plan)) };

/** What results depend on beside their keys: runs with equal settings give equal results. */
export type RunSettings = Readonly<Record<string, string | number | boolean | null>>;

export interface SavedResults {
  /** The result that is saved under a key. */
  find<T>(key: object): T | undefined;
  /** Saves a result under its key, in place of an earlier one. */
  keep(key: object, value: unknown): Promise<void>;
  /** Characters of an unfinished last line, which were removed. */
  readonly truncatedCharacters: number;
}

const HEADER = { format: 'keysieve-results', version: 3 };
const HEADER_LINE = `${JSON.stringify(HEADER)}\n`;

interface Line {
  run: string;
  key: string;
  value: unknown;
  sum: string;
}

/** Opens saved results as `openSavedResults` does, and notes where the file's last line was cut off. */
export async function openResults(
  path: string | undefined,
  settings: RunSettings,
  onNote: (text: string) => void,
): Promise<SavedResults> {
  const saved = await openSavedResults(path, settings);
  if (saved.truncatedCharacters > 0) onNote(`The last line of ${path} was cut off: that result is computed again.`);
  return saved;
}

/**
 * Opens or begins a file; without a path, results are kept in memory only. Several processes may save into one file.
 * Throws `invalid-file` where it holds something else or was changed, `results-version` where another version wrote it
 * (the file then stays as it is), and `output-unwritable`.
 */
export async function openSavedResults(path: string | undefined, settings: RunSettings): Promise<SavedResults> {
  const run = runName(settings);
  const { lines, truncatedCharacters } = path === undefined ? NO_LINES : await openFile(path);
  const results = new Map(lines.filter((line) => line.run === run).map(({ key, value }) => [key, value]));
  return {
    find: <T>(key: object) => results.get(JSON.stringify(key)) as T | undefined,
    async keep(key, value) {
      const name = JSON.stringify(key);
      results.set(name, value);
      if (path === undefined) return;
      const line: Line = { run, key: name, value, sum: checksum(run, name, value) };
      await withLock(path, async () => {
        // Of a process that was killed while it wrote, since this one has opened the file.
        if (!(await endsWithLine(path))) await readLines(path);
        await appendFile(path, `${toJson(line)}\n`);
      });
    },
    truncatedCharacters,
  };
}

const NO_LINES: { lines: Line[]; truncatedCharacters: number } = { lines: [], truncatedCharacters: 0 };

async function openFile(path: string): Promise<typeof NO_LINES> {
  await mkdir(dirname(path), { recursive: true }).catch((error) => {
    throw outputUnwritable(path, error);
  });
  return withLock(path, () => readLines(path));
}

/** Begins a file, or reads it and removes an unfinished last line. */
async function readLines(path: string): Promise<typeof NO_LINES> {
  const text = await readOrEmpty(path);
  if (HEADER_LINE.startsWith(text)) {
    await writeFile(path, HEADER_LINE);
    return NO_LINES;
  }
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  const [header = '', ...rest] = (complete || text).split('\n');
  checkHeader(path, header);
  const lines = rest.slice(0, -1).map((line, i) => parse(path, i + 2, line));
  if (complete.length < text.length) await truncate(path, Buffer.byteLength(complete));
  return { lines, truncatedCharacters: text.length - complete.length };
}

/** Whether the file is there and ends where a line ends. */
async function endsWithLine(path: string): Promise<boolean> {
  const file = await open(path).catch(() => undefined);
  if (file === undefined) return false;
  try {
    const last = Buffer.alloc(1);
    await file.read(last, 0, 1, (await file.stat()).size - 1);
    return last.toString() === '\n';
  } finally {
    await file.close();
  }
}

/** One process at a time reads and writes; what the system refuses is `output-unwritable`. */
async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    await using _ = await acquireLock(`${path}.lock`);
    return await work();
  } catch (error) {
    throw error instanceof KeysieveError ? error : outputUnwritable(path, error);
  }
}

/** A line of a file of results: what was kept, under which key of which run. */
export type ResultLine = Readonly<Pick<Line, 'run' | 'key' | 'value'>>;

/** How lines name a run. */
export const runName = (settings: RunSettings): string => digest(JSON.stringify(settings));

/** All whole lines of a file, which stays as it is. Throws `file-not-found`, and as `openSavedResults`. */
export async function readResultLines(path: string): Promise<ResultLine[]> {
  const text = await readInput(path);
  const [header = '', ...rest] = text.split('\n');
  checkHeader(path, header);
  return rest.slice(0, -1).map((line, i) => parse(path, i + 2, line));
}

/** Writes a file of these lines, whole or not at all. Throws `output-unwritable`. */
export async function writeResultLines(path: string, lines: readonly ResultLine[]): Promise<void> {
  const texts = lines.map(({ run, key, value }) =>
    toJson({ run, key, value, sum: checksum(run, key, value) } satisfies Line),
  );
  await writeOutput(path, [JSON.stringify(HEADER), ...texts, ''].join('\n'));
}

/** JSON in which numbers that are not finite stand as well, as `{"number":"NaN"}`: results of cells on their way. */
export const resultJson = {
  stringify: (value: unknown): string => toJson(value),
  parse: (text: string): unknown => fromJson(text),
};

const toJson = (value: unknown): string =>
  JSON.stringify(value, (_, each) =>
    typeof each === 'number' && !Number.isFinite(each) ? { number: String(each) } : each,
  );

const fromJson = (text: string): unknown =>
  JSON.parse(text, (_, each) => (NOT_FINITE.has(each?.number) ? Number(each.number) : each));

const NOT_FINITE: ReadonlySet<unknown> = new Set(['NaN', 'Infinity', '-Infinity']);

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

const checksum = (run: string, key: string, value: unknown): string => digest(`${run} ${key} ${toJson(value)}`);

async function readOrEmpty(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
}

function checkHeader(path: string, line: string): void {
  const header = tryOrUndefined(() => JSON.parse(line) as Partial<typeof HEADER>);
  if (header?.format !== HEADER.format) throw broken(path, 1, line);
  if (header.version === HEADER.version) return;
  throw labError({
    code: 'results-version',
    problem: `${path} was written by another version of keysieve, in another format.`,
    found: `format version ${header.version}; this version reads ${HEADER.version}`,
    remedy: 'Give another file, or use the version that wrote it.',
  });
}

function parse(path: string, number: number, text: string): Line {
  const line = tryOrUndefined(() => fromJson(text) as Line);
  if (line && line.sum === checksum(line.run, line.key, line.value)) return line;
  throw broken(path, number, text);
}

function tryOrUndefined<T>(what: () => T): T | undefined {
  try {
    return what() ?? undefined;
  } catch {
    return undefined;
  }
}

const broken = (path: string, number: number, line: string) =>
  labError({
    code: 'invalid-file',
    problem: `${path} is not a file of results, or was edited.`,
    found: `line ${number}: ${line.slice(0, 60)}`,
    remedy: 'Give another file, or remove that line.',
  });
