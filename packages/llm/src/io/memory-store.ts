/** A store in memory, which ends with its process. */
import { SourceError } from './source.ts';
import { partsOf, type Store, type StoredFile, type StoreEditor, unwritable } from './store.ts';

interface MemoryFile {
  /** At least as long as the file. */
  bytes: Uint8Array<ArrayBuffer>;
  byteLength: number;
  modifiedMs: number;
}

export function createMemoryStore(name = 'memory'): Store {
  const files = new Map<string, MemoryFile>();
  const locks = new Set<string>();

  function openFile(key: string, file: MemoryFile): StoredFile {
    const bytes = file.bytes.subarray(0, file.byteLength);
    let closed = false;
    const close = async () => {
      closed = true;
    };
    return {
      name: key,
      byteLength: bytes.length,
      modifiedMs: file.modifiedMs,
      bytes,
      async read(target, position) {
        if (closed) throw new SourceError('closed', key, 'a source that was closed');
        return copy(bytes, target, position);
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  function editFile(file: MemoryFile): StoreEditor {
    const resize = (byteLength: number) => {
      if (byteLength > file.bytes.length) file.bytes = grown(name, file, byteLength);
      else file.bytes.fill(0, byteLength, file.byteLength);
      file.byteLength = byteLength;
      file.modifiedMs = Date.now();
    };
    const close = async () => {};
    return {
      get byteLength() {
        return file.byteLength;
      },
      read: async (target, position) => copy(file.bytes.subarray(0, file.byteLength), target, position),
      async write(bytes, position) {
        if (position + bytes.length > file.byteLength) resize(position + bytes.length);
        file.bytes.set(bytes, position);
        file.modifiedMs = Date.now();
      },
      truncate: async (byteLength) => resize(byteLength),
      flush: async () => {},
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  return {
    name,
    persistent: false,
    async open(key) {
      partsOf(key);
      const file = files.get(key);
      return file && openFile(key, file);
    },
    async edit(key) {
      partsOf(key);
      const file = files.get(key) ?? { bytes: new Uint8Array(0), byteLength: 0, modifiedMs: Date.now() };
      files.set(key, file);
      return editFile(file);
    },
    async rename(from, to) {
      partsOf(to);
      const file = files.get(from);
      if (file === undefined) throw unwritable(name, new Error(`there is no ${from}`));
      files.delete(from);
      files.set(to, file);
    },
    async list(folder) {
      const names = [...files.keys()].filter((key) => folder === undefined || key.startsWith(`${folder}/`)).sort();
      return names.map((key) => {
        const { byteLength, modifiedMs } = files.get(key) as MemoryFile;
        return { name: key, byteLength, modifiedMs };
      });
    },
    async remove(key) {
      partsOf(key);
      for (const each of [...files.keys()]) if (each === key || each.startsWith(`${key}/`)) files.delete(each);
    },
    async touch(key, modifiedMs) {
      const file = files.get(key);
      if (file !== undefined) file.modifiedMs = modifiedMs;
    },
    async tryLock(key) {
      partsOf(key);
      if (locks.has(key)) return undefined;
      locks.add(key);
      return {
        async [Symbol.asyncDispose]() {
          locks.delete(key);
        },
      };
    },
  };
}

function copy(bytes: Uint8Array, target: Uint8Array, position: number): number {
  const part = bytes.subarray(position, position + target.length);
  target.set(part);
  return part.length;
}

/** Room for a longer file: exactly as much at first, since most sizes are known, and then twice as much. */
function grown(name: string, { bytes, byteLength }: MemoryFile, needed: number): Uint8Array<ArrayBuffer> {
  try {
    const larger = new Uint8Array(bytes.length === 0 ? needed : Math.max(needed, 2 * bytes.length));
    larger.set(bytes.subarray(0, byteLength));
    return larger;
  } catch (cause) {
    throw unwritable(name, cause);
  }
}
