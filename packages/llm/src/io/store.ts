/**
 * What outlives a process, by names such as `hub/OWNER/REPO/model.gguf`: a folder, the origin's private file system of a
 * browser, or memory for tests and for what need not be kept.
 */
import { llmError } from '../errors.ts';
import { type ByteSource, readWhole } from './source.ts';

export interface StoreEntry {
  readonly name: string;
  readonly byteLength: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
}

/** A stored file, open for reading. */
export interface StoredFile extends ByteSource {
  /** Its path, in a folder: for programs that read or map files by themselves. */
  readonly path?: string;
  /** The file as a browser has it. */
  readonly blob?: Blob;
  /** All of its bytes, in memory: they are not to be changed. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
}

/** A stored file, open for writing in its place. What is written is seen by whoever opens it from then on. */
export interface StoreEditor extends AsyncDisposable {
  readonly byteLength: number;
  read(target: Uint8Array, position: number): Promise<number>;
  write(bytes: Uint8Array, position: number): Promise<void>;
  truncate(byteLength: number): Promise<void>;
  /** Resolves when what was written is safe from a crash. */
  flush(): Promise<void>;
  /** A second call does nothing. */
  close(): Promise<void>;
}

/**
 * Files by names. A name is one or more parts divided by `/`, none of them empty, `.` or `..`. Whatever cannot be written
 * is an error `cache-folder-unwritable`; names of another form, `invalid-argument`.
 */
export interface Store {
  /** What errors call it: the path of a folder, or what keeps it. */
  readonly name: string;
  /** Whether what is written is there in the next process. */
  readonly persistent: boolean;
  /** The file of a name; undefined where there is none, or what is there is no plain file. */
  open(name: string): Promise<StoredFile | undefined>;
  /** Opens a file for writing, and makes it where it is missing. A file has one editor at a time. */
  edit(name: string): Promise<StoreEditor>;
  /** Gives a file another name, and takes the place of what has it. */
  rename(from: string, to: string): Promise<void>;
  /** Everything whose name begins with `folder/`, or everything, in the order of the names. */
  list(folder?: string): Promise<StoreEntry[]>;
  /** Removes a file, or all files below a folder; where there is none it does nothing. */
  remove(name: string): Promise<void>;
  /** Sets the time of a file, where the store can and the file is there: what was used last is kept longest. */
  touch(name: string, modifiedMs: number): Promise<void>;
  /** Takes the lock of a name, for this process alone; undefined where another one has it. */
  tryLock(name: string): Promise<AsyncDisposable | undefined>;
}

/** The parts of a name. Throws `invalid-argument`. */
export function partsOf(name: string): string[] {
  const parts = name.split('/');
  if (parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\\0]/.test(part))) return parts;
  throw llmError({
    code: 'invalid-argument',
    problem: 'This is no name in a store.',
    found: JSON.stringify(name),
    remedy: 'Give parts divided by a slash, none of them empty, a dot or two dots.',
  });
}

/** Where files lie that are being written: what is old there was left by a process that was killed. */
export const TEMPORARY = 'tmp';

/** A name of its own for what is being written. */
export function temporaryName(): string {
  const random = crypto.getRandomValues(new Uint32Array(2));
  return `${TEMPORARY}/${[...random].map((part) => part.toString(16).padStart(8, '0')).join('')}`;
}

/** Whether a file of the folder TEMPORARY has such a name: others, in a folder that a user has named, are not ours. */
export const isTemporary = (name: string): boolean => /^[0-9a-f]{16}$/.test(name);

/** Writes a file by pieces, as `temporary`, and then gives it its name: whole, or not at all. */
export async function writeFile(
  store: Store,
  name: string,
  write: (editor: StoreEditor) => Promise<void>,
  temporary = temporaryName(),
): Promise<void> {
  try {
    const editor = await store.edit(temporary);
    try {
      await write(editor);
      await editor.flush();
    } finally {
      await editor.close();
    }
    await store.rename(temporary, name);
  } catch (error) {
    await store.remove(temporary).catch(() => {});
    throw error;
  }
}

const MAX_JSON_BYTES = 2 ** 20;

/** What a small file holds; undefined where there is none, or it is no JSON. */
export async function readJson(store: Store, name: string): Promise<unknown> {
  try {
    await using file = await store.open(name);
    return file && JSON.parse(new TextDecoder().decode(await readWhole(file, MAX_JSON_BYTES)));
  } catch {
    return undefined;
  }
}

/** Keeps a small finding, whole or not at all. Where it cannot be written it is lost. */
export async function writeJson(store: Store, name: string, value: unknown): Promise<void> {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  await writeFile(store, name, (editor) => editor.write(bytes, 0)).catch(() => {});
}

/** A store that cannot be written, or is full. */
export function unwritable(name: string, cause: unknown) {
  const { code, message } = (cause ?? {}) as { code?: unknown; message?: unknown };
  const domException = typeof DOMException !== 'undefined' && cause instanceof DOMException;
  return llmError({
    code: 'cache-folder-unwritable',
    problem: `Nothing can be written to ${name}.`,
    found: domException ? cause.name : String(code ?? message ?? cause),
    remedy:
      'Make room or give write access there, or name another folder by the option cacheFolder or by KEYSIEVE_CACHE.',
    cause,
  });
}
