/**
 * Results that are kept while they come, so that an interrupted run goes on where it was. A file of lines: first what it
 * is, then a line a result, with the run that it belongs to, its key in the run, and a checksum. Runs of other models,
 * texts and settings may share a file: each finds only its own.
 */
import { createHash } from 'node:crypto';
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { KeysieveError, type PolicySpec } from 'keysieve';
import { textHash } from '../file-hash.ts';

/** A policy as results are kept under it: plans are long, and told apart by their hash. */
export const policyKey = ({ plan, ...spec }: PolicySpec) =>
  plan === undefined ? spec : { ...spec, plan: textHash(JSON.stringify(plan)) };

/** What a result depends on beside its key: two runs of which all of this is the same give the same results. */
export type RunSettings = Readonly<Record<string, string | number | boolean | null>>;

export interface SavedResults {
  /** What is kept under a key. */
  find<T>(key: object): T | undefined;
  /** Keeps a result under its key; a later one takes the place of an earlier. */
  keep(key: object, value: unknown): Promise<void>;
  /** Characters of a line that was being written when an earlier run ended; they are gone. */
  readonly truncatedCharacters: number;
}

const HEADER = { format: 'keysieve-eval', version: 1 };

interface Line {
  run: string;
  key: string;
  value: unknown;
  sum: string;
}

/**
 * Opens or begins a file; without a path, results are kept in memory only. Throws `invalid-file` where it holds something
 * else or was changed, and `results-version` where another version has written it; the file then stays as it is.
 */
export async function openSavedResults(path: string | undefined, settings: RunSettings): Promise<SavedResults> {
  const run = digest(JSON.stringify(settings));
  const results = new Map<string, unknown>();
  const text = path === undefined ? '' : await readOrEmpty(path);
  const complete = text.slice(0, text.lastIndexOf('\n') + 1);
  const lines = complete.split('\n').slice(0, -1);
  if (path !== undefined && text !== '') {
    checkHeader(path, lines[0] ?? text);
    for (const [index, line] of lines.entries()) {
      if (index === 0) continue;
      const { run: lineRun, key, value } = parse(path, index + 1, line);
      if (lineRun === run) results.set(key, value);
    }
    if (complete.length < text.length) await truncate(path, Buffer.byteLength(complete));
  }
  if (path !== undefined && text === '') await writeFile(path, `${JSON.stringify(HEADER)}\n`);
  return {
    find: <T>(key: object) => results.get(JSON.stringify(key)) as T | undefined,
    async keep(key, value) {
      const name = JSON.stringify(key);
      results.set(name, value);
      if (path === undefined) return;
      const line: Line = { run, key: name, value, sum: checksum(run, name, value) };
      await appendFile(path, `${JSON.stringify(line)}\n`);
    },
    truncatedCharacters: text.length - complete.length,
  };
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

const checksum = (run: string, key: string, value: unknown): string => digest(`${run} ${key} ${JSON.stringify(value)}`);

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
  throw new KeysieveError({
    code: 'results-version',
    problem: `${path} was written by another version of keysieve.`,
    found: `version ${header.version} of the file, not ${HEADER.version}`,
    remedy: 'Give another file, or use the version that wrote it.',
  });
}

function parse(path: string, number: number, text: string): Line {
  const line = tryOrUndefined(() => JSON.parse(text) as Line);
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
  new KeysieveError({
    code: 'invalid-file',
    problem: `${path} is not a file of results, or was changed.`,
    found: `line ${number}: ${line.slice(0, 60)}`,
    remedy: 'Give another file, or remove that line.',
  });
