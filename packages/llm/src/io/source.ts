/**
 * Where bytes come from: a file's path, a Blob of the browser, or a URL. All are read by ranges, so that a model of
 * gigabytes is never held whole.
 */

/** Names a source: a path, a Blob or File, or a URL that answers requests for ranges. */
export type SourceLocation = string | Blob | URL;

/** Bytes that are read by ranges. */
export interface ByteSource extends AsyncDisposable {
  /** What errors call it: a path, the name of a File, an address. */
  readonly name: string;
  readonly byteLength: number;
  /** When it was last changed, in milliseconds since 1970; 0 where nobody says. */
  readonly modifiedMs: number;
  /**
   * Fills `target` with the bytes from `position` on and gives how many there were: fewer only where the source ends.
   * Throws `SourceError` where it cannot be read, or is closed.
   */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Lets go of it; a second call does nothing. */
  close(): Promise<void>;
}

/** Why a source cannot be read. */
export type SourceFault = 'not-found' | 'not-a-file' | 'unreadable' | 'closed';

/** A source that cannot be read. What opened it says what that means, in an error with a code. */
export class SourceError extends Error {
  readonly fault: SourceFault;
  /** Name of the source. */
  readonly source: string;
  /** What was found: a code of the system, a status of a server, a folder. */
  readonly found: string;

  constructor(fault: SourceFault, source: string, found: string, cause?: unknown) {
    super(`${source}: ${found}`, { cause });
    this.source = source;
    this.fault = fault;
    this.found = found;
  }
}

/** All bytes of a source. Throws `SourceError`, also where it has more than `maxBytes`. */
export async function readWhole(source: ByteSource, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const { byteLength, name } = source;
  if (byteLength > maxBytes) throw new SourceError('unreadable', name, `${byteLength} bytes`);
  const bytes = new Uint8Array(byteLength);
  return bytes.subarray(0, await source.read(bytes, 0));
}
