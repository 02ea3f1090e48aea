/**
 * What an interrupted measurement had found, in a file: the tallies as they were after the last whole chunk. A run that
 * goes on from there ends with the same numbers as one that was never interrupted. Another model or setting has nothing
 * to do with it; of the texts those are taken that are the same at the same place, so that texts can be added.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { type LabError, labError } from '../errors.ts';
import { LawTally, type TallyDesign } from '../law/tally.ts';
import type { TextProgress } from './measure-text.ts';

const FORMAT = 'keysieve-measurement';
/** Raised when what was saved before means something else now. */
const VERSION = 3;

/** One text, as far as it has been measured. */
export interface MeasuredText {
  readonly hash: string;
  tally: LawTally;
  progress: TextProgress;
}

export interface SavedRun {
  readonly texts: readonly MeasuredText[];
  /** Keeps everything as it is now. */
  save(): Promise<void>;
  remove(): Promise<void>;
}

/** All that a measurement depends on, beside its design and its texts. */
export type RunKey = Record<string, string | number>;

interface Saved {
  format: typeof FORMAT;
  version: number;
  key: { run: RunKey; design: TallyDesign };
  texts: { hash: string; progress: TextProgress; arrays: Record<string, string> }[];
}

/**
 * Opens what is saved at `path`, or begins anew where there is nothing, or nothing of this run. Throws `invalid-file`
 * where the file is no measurement, so that no other file is written over.
 */
export async function openRun(
  path: string | undefined,
  run: RunKey,
  design: TallyDesign,
  textHashes: readonly string[],
): Promise<SavedRun> {
  const key = { run, design };
  const measured = textHashes.map(
    (hash): MeasuredText => ({
      hash,
      tally: new LawTally(design),
      progress: { done: 0, prefillMs: 0, measureMs: 0 },
    }),
  );
  const saved = path === undefined ? undefined : await readSaved(path);
  if (path !== undefined && saved !== undefined && JSON.stringify(saved.key) === JSON.stringify(key)) {
    for (const [i, text] of measured.entries()) {
      const savedText = saved.texts[i];
      if (savedText?.hash === text.hash) fill(text, savedText, path);
    }
  }
  return {
    texts: measured,
    async save() {
      if (path === undefined) return;
      const content: Saved = {
        format: FORMAT,
        version: VERSION,
        key,
        texts: measured.map(({ hash, tally, progress }) => ({ hash, progress, arrays: encodeTally(tally) })),
      };
      // Written beside it and renamed: an interruption leaves one whole file.
      await writeFile(`${path}.new`, JSON.stringify(content));
      await rename(`${path}.new`, path);
    },
    async remove() {
      if (path !== undefined) await rm(path, { force: true });
    },
  };
}

async function readSaved(path: string): Promise<Saved | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    const parsed = JSON.parse(text) as Saved;
    if (parsed?.format === FORMAT && Array.isArray(parsed.texts))
      return parsed.version === VERSION ? parsed : undefined;
  } catch {
    // Said below.
  }
  throw invalidFile(path, text.slice(0, 60));
}

const encodeTally = (tally: LawTally): Record<string, string> =>
  Object.fromEntries(
    Object.entries(tally.arrays()).map(([name, { buffer, byteOffset, byteLength }]) => [
      name,
      Buffer.from(buffer, byteOffset, byteLength).toString('base64'),
    ]),
  );

/** Fills a text with what was saved of it. */
function fill({ tally, progress }: MeasuredText, saved: Saved['texts'][number], path: string): void {
  for (const [name, array] of Object.entries(tally.arrays())) {
    const bytes = Buffer.from(saved.arrays?.[name] ?? '', 'base64');
    if (bytes.length !== array.byteLength) throw invalidFile(path, `${bytes.length} bytes of ${name}`);
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(bytes);
  }
  const numbers = [saved.progress?.done, saved.progress?.prefillMs, saved.progress?.measureMs];
  if (!numbers.every(Number.isFinite)) throw invalidFile(path, `progress ${JSON.stringify(saved.progress)}`);
  Object.assign(progress, saved.progress);
}

function invalidFile(path: string, found: string): LabError {
  return labError({
    code: 'invalid-file',
    problem: `${path} is not a saved measurement, or it is damaged.`,
    found,
    remedy: 'Remove it to measure from the beginning, or save to another file.',
  });
}
