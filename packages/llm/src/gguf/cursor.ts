/**
 * Reads a file's header from front to back through one window of bytes that is filled by ranges. Every length is
 * compared with what is left of the file before anything of that length is allocated or read.
 */
import type { ByteSource } from '../io/source.ts';
import { invalid, truncated } from './errors.ts';

const windowBytes = 1 << 18;
/** Longer strings are refused: the longest in use, an embedded tokenizer.json, has about 20 MB. */
const MAX_STRING_BYTES = 1 << 26;

export interface Cursor {
  /** Absolute offset of the next byte. */
  readonly position: number;
  /** Bytes from the position to the end of the file. */
  readonly remaining: number;
  /** Throws a `gguf-truncated` error unless `count` items of at least `bytesEach` bytes can follow. */
  expect(count: number, bytesEach: number, what: string): void;
  /** Resolves when the next `bytes` bytes are in the window; use only for small numbers of bytes. */
  fill(bytes: number, what: string): Promise<void>;
  /** Whether the next `bytes` bytes are in the window. */
  isBuffered(bytes: number): boolean;
  /** Takes a value of the window; `fill` or `holds` comes first. */
  take<T>(bytes: number, read: (view: DataView, offset: number) => T): T;
  /** Takes a string: a length (8 bytes) and that many bytes of UTF-8. */
  takeString(what: string, maxBytes?: number): Promise<string>;
  /** Reads at once a string that the window holds whole, else undefined: arrays of 10^5 strings need no waiting. */
  takeBufferedString(what: string): string | undefined;
  /** Takes `bytes` bytes in a buffer of their own. */
  takeBytes(bytes: number, what: string): Promise<Uint8Array<ArrayBuffer>>;
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function createCursor(source: ByteSource): Cursor {
  const { byteLength: fileBytes } = source;
  let window = new Uint8Array(0);
  let view = new DataView(window.buffer, window.byteOffset, 0);
  let windowStart = 0; // absolute offset of window[0]
  let at = 0; // index of the next byte in the window

  const position = () => windowStart + at;
  const remaining = () => fileBytes - position();
  const isBuffered = (bytes: number) => window.length - at >= bytes;

  function expect(count: number, bytesEach: number, what: string): void {
    if (count > remaining() / bytesEach) {
      throw truncated(
        `The file is too short for ${what}.`,
        `${remaining()} bytes left of ${fileBytes}, where ${count} x ${bytesEach} are announced`,
      );
    }
  }

  async function fill(bytes: number, what: string): Promise<void> {
    if (isBuffered(bytes)) return;
    expect(1, bytes, what);
    const start = position();
    const next = new Uint8Array(Math.min(Math.max(bytes, windowBytes), fileBytes - start));
    await readFully(source, next, start);
    window = next;
    view = new DataView(window.buffer, window.byteOffset, window.length);
    windowStart = start;
    at = 0;
  }

  function take<T>(bytes: number, read: (view: DataView, offset: number) => T): T {
    const value = read(view, at);
    at += bytes;
    return value;
  }

  async function takeString(what: string, maxBytes = MAX_STRING_BYTES): Promise<string> {
    await fill(8, what);
    const length = Number(view.getBigUint64(at, true));
    expect(length, 1, what);
    if (length > maxBytes) throw invalid(`The length of ${what} is past the limit of ${maxBytes} bytes.`, length);
    await fill(8 + length, what);
    return takeBufferedString(what) as string;
  }

  function takeBufferedString(what: string): string | undefined {
    if (!isBuffered(8)) return undefined;
    // A string that the window holds is shorter than 2^32 bytes; a longer one fails in takeString.
    const length = view.getUint32(at + 4, true) === 0 ? view.getUint32(at, true) : Number.POSITIVE_INFINITY;
    if (!isBuffered(8 + length)) return undefined;
    const bytes = window.subarray(at + 8, at + 8 + length);
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      throw invalid(`The text of ${what} is not UTF-8.`, `bytes at offset ${position() + 8}`);
    }
    at += 8 + length;
    return text;
  }

  async function takeBytes(bytes: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    expect(bytes, 1, what);
    const target = new Uint8Array(bytes);
    const start = position();
    if (isBuffered(bytes)) {
      target.set(window.subarray(at, at + bytes));
      at += bytes;
      return target;
    }
    await readFully(source, target, start);
    window = window.subarray(0, 0);
    windowStart = start + bytes;
    at = 0;
    return target;
  }

  return {
    get position() {
      return position();
    },
    get remaining() {
      return remaining();
    },
    expect,
    fill,
    isBuffered,
    take,
    takeString,
    takeBufferedString,
    takeBytes,
  };
}

/** Fills `target` from `position` of the file; a file that has become shorter is a `gguf-truncated` error. */
export async function readFully(source: ByteSource, target: Uint8Array, position: number): Promise<void> {
  const done = await source.read(target, position);
  if (done === target.length) return;
  throw truncated(
    'The file ended while it was read.',
    `the end at byte ${position + done}, where ${target.length - done} more bytes were to follow`,
  );
}
