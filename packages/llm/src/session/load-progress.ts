/**
 * Progress of loading a model, by phase: downloading the file from the hub, hashing it, building segments from it,
 * verifying and loading them, measuring which precision is accurate enough.
 */
export interface LoadProgress {
  phase: 'download' | 'hash' | 'verify' | 'build' | 'load' | 'calibrate';
  /** Bytes; segments for `load`, tokens for `calibrate`. */
  done: number;
  total: number;
}
