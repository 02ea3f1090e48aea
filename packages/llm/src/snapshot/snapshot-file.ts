/** Writes and reads the file of a cache, record by record. */
import { PAGE_KEYS } from 'keysieve';
import type { ByteSource } from '../io/source.ts';
import type { StoreEditor } from '../io/store.ts';
import { throwIfAborted } from '../onnx/index.ts';
import { loadChecksum } from './checksum.ts';
import {
  decodeHeader,
  decodeRecord,
  encodeHeader,
  encodeRecord,
  headerByteLength,
  invalid,
  type PageRecord,
  PREAMBLE,
  recordByteLength,
  type SnapshotHeader,
} from './format.ts';

/** Bytes that were written or read, and all of them. */
export interface SnapshotProgress {
  done: number;
  total: number;
}

export interface SnapshotWork {
  onProgress?: ((progress: SnapshotProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Keys of page `index` of those of a header. */
const keysOf = ({ keys }: SnapshotHeader, index: number): number => Math.min(PAGE_KEYS, keys - index * PAGE_KEYS);

export const pageCount = ({ keys }: SnapshotHeader): number => Math.ceil(keys / PAGE_KEYS);

/** Writes a file. `recordAt` gives the page of that number in the file. Throws `aborted` and what the editor throws. */
export async function writeSnapshot(
  editor: StoreEditor,
  header: SnapshotHeader,
  recordAt: (index: number) => PageRecord,
  { onProgress, signal }: SnapshotWork = {},
): Promise<void> {
  const checksum = await loadChecksum();
  const { cache } = header.settings;
  const encoded = encodeHeader(header, checksum);
  const pages = pageCount(header);
  let total = encoded.bytes.length;
  for (let index = 0; index < pages; index++) total += recordByteLength(cache, keysOf(header, index));
  await editor.write(encoded.bytes, 0);
  let done = encoded.bytes.length;
  for (let index = 0; index < pages; index++) {
    throwIfAborted(signal);
    const bytes = encodeRecord(cache, recordAt(index), index, encoded.checksum, checksum);
    await editor.write(bytes, done);
    done += bytes.length;
    onProgress?.({ done, total });
  }
  throwIfAborted(signal);
}

/** A file that is open for reading. */
export interface SnapshotReader {
  readonly header: SnapshotHeader;
  /** Where the first record begins. */
  readonly recordsFrom: number;
  /** The records in order, as long as they are whole. */
  records(work?: SnapshotWork): AsyncGenerator<PageRecord, void>;
}

/** Throws `snapshot-invalid`, `snapshot-version` and `SourceError`. */
export async function readSnapshot(source: ByteSource): Promise<SnapshotReader> {
  const checksum = await loadChecksum();
  const preamble = await readBytes(source, 0, PREAMBLE);
  const headerBytes = await readBytes(source, 0, headerByteLength(preamble, source.name));
  if (headerBytes.length < headerByteLength(preamble, source.name))
    throw invalid(source.name, 'a file that was cut short');
  const { header, checksum: sum } = decodeHeader(headerBytes, source.name, checksum);
  const { cache } = header.settings;
  return {
    header,
    recordsFrom: headerBytes.length,
    async *records({ onProgress, signal } = {}) {
      let position = headerBytes.length;
      for (let index = 0; index < pageCount(header); index++) {
        throwIfAborted(signal);
        const keys = keysOf(header, index);
        const length = recordByteLength(cache, keys);
        const bytes = await readBytes(source, position, length);
        const record = bytes.length < length ? undefined : decodeRecord(cache, bytes, keys, index, sum, checksum);
        if (record === undefined) return;
        position += length;
        onProgress?.({ done: position, total: source.byteLength });
        yield record;
      }
    },
  };
}

async function readBytes(source: ByteSource, position: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(Math.min(length, Math.max(0, source.byteLength - position)));
  return bytes.subarray(0, await source.read(bytes, position));
}
