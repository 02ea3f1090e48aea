/**
 * What fetches files of the hub and keeps them. `#hub-transfer` is one of two modules that export `HubTransfer`, for Node
 * and for browsers, chosen when the package is built or run (`imports` of package.json).
 */
import type { SourceLocation } from '../io/source.ts';
import type { HubRequest } from './hub-errors.ts';

/** The answer whose body is still to be read, for contents. */
export type HubFetch = (url: string, init?: RequestInit) => Promise<Response>;

export interface RemoteFile {
  url: string;
  /** Bytes. */
  size: number;
  /** Names this version of the file. */
  etag: string;
  /** SHA-256 of the content, in hexadecimal, where it is known. */
  sha256: string | undefined;
  headers: Record<string, string>;
}

export interface DownloadProgress {
  /** Bytes, those of earlier tries included. */
  done: number;
  total: number;
}

export interface DownloadOptions extends HubRequest {
  fetch: HubFetch;
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
}

export interface HubTransfer {
  /** The `fetch` of the platform, through a proxy where it has one; `timeoutMs` without a byte end it where that can be. */
  platformFetch(timeoutMs: number): Promise<HubFetch>;
  /** A file that is kept, by its name in the cache; undefined where it is not. */
  findKept(cacheFolder: string | undefined, name: string): Promise<SourceLocation | undefined>;
  /**
   * Fetches a file and keeps it, going on from what an earlier try has left. Throws `hub-unreachable`,
   * `hub-file-corrupt`, `cache-folder-unwritable` or `aborted`.
   */
  fetchAndKeep(
    remote: RemoteFile,
    cacheFolder: string | undefined,
    name: string,
    options: DownloadOptions,
  ): Promise<SourceLocation>;
}
