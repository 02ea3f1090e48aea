/**
 * A store in the origin's private file system (File System standard, https://fs.spec.whatwg.org). Workers write in place,
 * by handles for synchronous access; pages, which have none, write a copy that replaces the file when it is closed.
 */
import { openBlob } from '../../io/blob-source.ts';
import { partsOf, type Store, type StoreEditor, type StoreEntry, TEMPORARY, unwritable } from '../../io/store.ts';

/** Temporary files that are so old were left by a page that was closed. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/** The parts of the standard that TypeScript's library for pages does not have. */
interface OpfsHandle extends FileSystemFileHandle {
  move(folder: FileSystemDirectoryHandle, name: string): Promise<void>;
  /** In workers only. */
  createSyncAccessHandle?(): Promise<SyncAccessHandle>;
}

interface SyncAccessHandle {
  getSize(): number;
  read(target: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(byteLength: number): void;
  flush(): void;
  close(): void;
}

export function createOpfsStore(folder: string): Store {
  const name = `the browser's storage, folder ${folder}`;

  async function folderOf(parts: readonly string[], create: boolean): Promise<FileSystemDirectoryHandle> {
    let handle = await navigator.storage.getDirectory();
    for (const part of [folder, ...parts]) handle = await handle.getDirectoryHandle(part, { create });
    return handle;
  }

  async function fileOf(key: string, create: boolean): Promise<FileSystemFileHandle> {
    const parts = partsOf(key);
    const parent = await folderOf(parts.slice(0, -1), create);
    return parent.getFileHandle(parts.at(-1) as string, { create });
  }

  const whereThere = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  };

  const writing = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw error instanceof DOMException ? unwritable(name, error) : error;
    }
  };

  const list = async (prefix?: string) => {
    const parts = prefix === undefined ? [] : partsOf(prefix);
    const start = await whereThere(() => folderOf(parts, false));
    const entries: StoreEntry[] = [];
    if (start !== undefined) await collect(start, prefix === undefined ? '' : `${prefix}/`, entries);
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  };

  async function remove(key: string) {
    const parts = partsOf(key);
    await writing(() =>
      whereThere(async () => {
        const parent = await folderOf(parts.slice(0, -1), false);
        await parent.removeEntry(parts.at(-1) as string, { recursive: true });
      }),
    );
  }

  async function removeAbandoned() {
    for (const { name: key, modifiedMs } of await list(TEMPORARY)) {
      // One that is open elsewhere cannot be removed.
      if (Date.now() - modifiedMs > ABANDONED_MS) await remove(key).catch(() => {});
    }
  }

  return {
    name,
    persistent: true,
    async open(key) {
      partsOf(key);
      const file = await whereThere(async () => (await fileOf(key, false)).getFile());
      return file && Object.assign(openBlob(file), { name: key, blob: file });
    },
    edit: (key) =>
      writing(async () => {
        if (key.startsWith(`${TEMPORARY}/`)) await removeAbandoned();
        const handle = (await fileOf(key, true)) as OpfsHandle;
        const access = await handle.createSyncAccessHandle?.();
        return access === undefined ? editCopy(handle, writing) : editInPlace(access, writing);
      }),
    rename: (from, to) =>
      writing(async () => {
        const handle = (await fileOf(from, false)) as OpfsHandle;
        const parts = partsOf(to);
        const parent = await folderOf(parts.slice(0, -1), true);
        const last = parts.at(-1) as string;
        try {
          await handle.move(parent, last);
        } catch (error) {
          if (!(error instanceof DOMException) || isMissing(error)) throw error;
          // Not every browser lets a file take the place of another.
          await whereThere(() => parent.removeEntry(last, { recursive: true }));
          await handle.move(parent, last);
        }
      }),
    list,
    remove,
    // There is no way to set a time: what was written last counts as used last.
    touch: async () => {},
    async tryLock(key) {
      partsOf(key);
      return new Promise((resolve, reject) => {
        const hold = (lock: unknown) =>
          lock === null
            ? resolve(undefined)
            : new Promise<void>((letGo) => resolve({ [Symbol.asyncDispose]: async () => letGo() }));
        navigator.locks.request(`${folder}/${key}`, { ifAvailable: true }, hold).catch(reject);
      });
    },
  };
}

type Writing = <T>(work: () => Promise<T>) => Promise<T>;

function editInPlace(handle: SyncAccessHandle, writing: Writing): StoreEditor {
  let closed = false;
  const close = async () => {
    if (!closed) handle.close();
    closed = true;
  };
  return {
    get byteLength() {
      return handle.getSize();
    },
    read: async (target, position) => handle.read(target, { at: position }),
    write: (bytes, position) =>
      writing(async () => {
        const written = handle.write(bytes, { at: position });
        if (written < bytes.length) throw new DOMException('the storage is full', 'QuotaExceededError');
      }),
    truncate: (byteLength) => writing(async () => handle.truncate(byteLength)),
    flush: () => writing(async () => handle.flush()),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Writes to a copy; `flush` puts it in the place of the file and begins another. */
async function editCopy(handle: FileSystemFileHandle, writing: Writing): Promise<StoreEditor> {
  let stream: FileSystemWritableFileStream | undefined;
  let { size: byteLength } = await handle.getFile();
  const opened = async () => {
    stream ??= await handle.createWritable({ keepExistingData: true });
    return stream;
  };
  const flush = () =>
    writing(async () => {
      const written = stream;
      stream = undefined;
      await written?.close();
    });
  return {
    get byteLength() {
      return byteLength;
    },
    async read(target, position) {
      await flush();
      const bytes = new Uint8Array(
        await (await handle.getFile()).slice(position, position + target.length).arrayBuffer(),
      );
      target.set(bytes);
      return bytes.length;
    },
    write: (bytes, position) =>
      writing(async () => {
        await (await opened()).write({ type: 'write', position, data: bytes as Uint8Array<ArrayBuffer> });
        byteLength = Math.max(byteLength, position + bytes.length);
      }),
    truncate: (length) =>
      writing(async () => {
        await (await opened()).truncate(length);
        byteLength = length;
      }),
    flush,
    close: flush,
    [Symbol.asyncDispose]: flush,
  };
}

async function collect(folder: FileSystemDirectoryHandle, prefix: string, entries: StoreEntry[]): Promise<void> {
  for await (const [name, handle] of folder as unknown as AsyncIterable<[string, FileSystemHandle]>) {
    if (handle.kind === 'directory') {
      await collect(handle as FileSystemDirectoryHandle, `${prefix}${name}/`, entries);
      continue;
    }
    const { size: byteLength, lastModified: modifiedMs } = await (handle as FileSystemFileHandle).getFile();
    entries.push({ name: `${prefix}${name}`, byteLength, modifiedMs });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof DOMException && (error.name === 'NotFoundError' || error.name === 'TypeMismatchError');
}
