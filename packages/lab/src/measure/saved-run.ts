/**
 * What an interrupted measurement had found, in a file: the tallies as they were after the last whole chunk. A run that
 * goes on from there ends with the same numbers as one that was never interrupted. What another model or setting gave is
 * kept aside; of the texts those are taken that are the same at the same place, so that texts can be added.
 *
 * The file has two lines: a header with the SHA-256 of the second, and the measurement. One process at a time writes it.
 */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { acquireLockUnlessHeld, type Lock } from '@keysieve/llm/internal';
import { type LabError, labError } from '../errors.ts';
import { outputUnwritable, writeOutput } from '../files/output-file.ts';
import { LawTally, type TallyDesign } from '../law/tally.ts';
import type { TextProgress } from './measure-text.ts';

const FORMAT = 'keysieve-measurement';
/** Raised when what was saved before means something else now. */
const VERSION = 4;

/** One text, as far as it has been measured. */
export interface MeasuredText {
  readonly hash: string;
  tally: LawTally;
  progress: TextProgress;
}

export interface SavedRun extends AsyncDisposable {
  readonly texts: readonly MeasuredText[];
  /** Keeps everything as it is now. */
  save(): Promise<void>;
  remove(): Promise<void>;
}

/** All that a measurement depends on, beside its design and its texts. */
export type RunKey = Record<string, string | number>;

interface Saved {
  key: { run: RunKey; design: TallyDesign };
  texts: { hash: string; progress: TextProgress; arrays: Record<string, string> }[];
}

export interface OpenRunOptions {
  /** The file; without one, nothing is kept. */
  path: string | undefined;
  run: RunKey;
  design: TallyDesign;
  textHashes: readonly string[];
  signal?: AbortSignal | undefined;
  /** Called with what the caller should know, such as what was kept aside. */
  onNote?: ((text: string) => void) | undefined;
}

/**
 * Opens what is saved at `path`, or begins anew where there is nothing, or nothing of this run; what it
 * does not go on with is kept as PATH.old. Dispose of the run to let others write the file. Throws `file-busy` where another process writes
 * it, `invalid-file` where it is damaged or no measurement, `results-version` where another version wrote it, and
 * `output-unwritable`.
 */
export async function openRun({
  path,
  run,
  design,
  textHashes,
  signal,
  onNote = () => {},
}: OpenRunOptions): Promise<SavedRun> {
  const key = { run, design };
  const measured = textHashes.map(
    (hash): MeasuredText => ({
      hash,
      tally: new LawTally(design),
      progress: { done: 0, prefillMs: 0, measureMs: 0 },
    }),
  );
  const lock = path === undefined ? undefined : await lockFile(path, signal);
  try {
    if (path !== undefined) await restore(path, key, measured, onNote);
  } catch (error) {
    await lock?.release();
    throw error;
  }
  return {
    texts: measured,
    async save() {
      if (path === undefined) return;
      const texts = measured.map(({ hash, tally, progress }) => ({ hash, progress, arrays: encodeTally(tally) }));
      const body = JSON.stringify({ key, texts } satisfies Saved);
      const header = JSON.stringify({ format: FORMAT, version: VERSION, sha256: sha256(body) });
      await writeOutput(path, `${header}\n${body}\n`);
    },
    async remove() {
      if (path !== undefined) await rm(path, { force: true });
    },
    async [Symbol.asyncDispose]() {
      await lock?.release();
    },
  };
}

/** The threads that the measurement in a file was made with; undefined where there is none that can be read. */
export async function savedThreads(path: string): Promise<number | undefined> {
  const saved = await readSaved(path).catch(() => undefined);
  const threads = saved?.key.run.threads;
  return typeof threads === 'number' ? threads : undefined;
}

async function lockFile(path: string, signal: AbortSignal | undefined): Promise<Lock> {
  let lock: Lock | undefined;
  try {
    await mkdir(dirname(path), { recursive: true });
    lock = await acquireLockUnlessHeld(`${path}.lock`, signal);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw outputUnwritable(path, error);
  }
  if (lock !== undefined) return lock;
  throw labError({
    code: 'file-busy',
    problem: 'Another process is measuring into this file.',
    found: path,
    remedy: 'Wait until it has ended, or save to another file.',
  });
}

/** Fills the texts with what the file has of them. */
async function restore(
  path: string,
  key: Saved['key'],
  measured: readonly MeasuredText[],
  onNote: (text: string) => void,
): Promise<void> {
  const saved = await readSaved(path);
  if (saved === undefined) return;
  const isSameRun = JSON.stringify(saved.key) === JSON.stringify(key);
  const used = saved.texts.filter(({ hash }, i) => isSameRun && hash === measured[i]?.hash);
  for (const savedText of used) {
    const { tally, progress } = measured[saved.texts.indexOf(savedText)] as MeasuredText;
    decodeTally(tally, savedText.arrays, path);
    Object.assign(progress, savedText.progress);
  }
  if (used.length === saved.texts.length) return;
  await copyFile(path, `${path}.old`);
  const what = isSameRun ? 'other texts' : differenceOf(saved.key, key);
  onNote(`${path} was measured with ${what}: that is kept in ${path}.old, and measured anew here.`);
}

/** The settings that differ, as they are in the first key: "threads 2". */
function differenceOf(one: Saved['key'], other: Saved['key']): string {
  const names = Object.keys({ ...one.run, ...other.run }).filter((name) => one.run[name] !== other.run[name]);
  return names.map((name) => `${name} ${one.run[name] ?? 'unknown'}`).join(', ') || 'another design';
}

async function readSaved(path: string): Promise<Saved | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw outputUnwritable(path, error);
  });
  if (text === undefined) return undefined;
  const [head = '', body = ''] = text.split('\n');
  const header = parseOrUndefined(head) as { format?: unknown; version?: unknown; sha256?: unknown } | undefined;
  if (header?.format !== FORMAT) throw invalidFile(path, head === '' ? 'an empty line' : head.slice(0, 60));
  if (header.version !== VERSION) throw otherVersion(path, header.version);
  if (header.sha256 !== sha256(body)) throw invalidFile(path, 'content that does not match its checksum');
  return JSON.parse(body) as Saved;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

/** The numbers of a tally, in base64 by their names. */
export type EncodedTally = Record<string, string>;

/** All numbers of a tally, for a file. */
export const encodeTally = (tally: LawTally): EncodedTally =>
  Object.fromEntries(
    Object.entries(tally.arrays()).map(([name, { buffer, byteOffset, byteLength }]) => [
      name,
      Buffer.from(buffer, byteOffset, byteLength).toString('base64'),
    ]),
  );

/** Fills a tally with the numbers of another one of its design. Throws `invalid-file` where they are not as many. */
export function decodeTally(tally: LawTally, encoded: EncodedTally, path = 'The tally'): void {
  for (const [name, array] of Object.entries(tally.arrays())) {
    const bytes = Buffer.from(encoded[name] ?? '', 'base64');
    if (bytes.length !== array.byteLength) throw invalidFile(path, `${bytes.length} bytes of ${name}`);
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(bytes);
  }
}

function invalidFile(path: string, found: string): LabError {
  return labError({
    code: 'invalid-file',
    problem: `${path} is not a saved measurement, or it is damaged.`,
    found,
    remedy: 'Remove it to measure from the beginning, or save to another file.',
  });
}

function otherVersion(path: string, version: unknown): LabError {
  return labError({
    code: 'results-version',
    problem: `${path} was written by another version of keysieve, in another format.`,
    found: `format version ${version}; this version reads ${VERSION}`,
    remedy: 'Remove it to measure from the beginning, or save to another file.',
  });
}
