/**
 * The file of a cache, version 1: docs/snapshots.md. A header says what the pages are of; then come records of pages, one
 * after the other, each with its tokens and its own checksum, so that a damaged one costs itself and what follows. All
 * numbers are little endian, as on every machine that this runs on.
 */
import { type Encoding, PAGE_KEYS, type PolicySpec, type Precision } from 'keysieve';
import { type CacheShape, normCount, type PageBytes, pageByteLength } from 'keysieve/engine';
import { llmError } from '../errors.ts';
import type { Checksum } from './checksum.ts';
import { type CacheSettings, type Scan, SNAPSHOT_VERSION } from './settings.ts';

/** The first bytes of every such file. */
const MAGIC = 'KSVCACHE';
/** Magic, version, bytes of the header, checksum. */
const PREAMBLE_BYTES = 24;
/** Longer headers are not ours. */
const MAX_HEADER_BYTES = 2 ** 24;
/** Records begin at multiples of this, for whoever maps the file. */
const ALIGNMENT = 64;

/** Checksum, keys, and whether there are errors of heads. */
const RECORD_PREAMBLE_BYTES = 16;
const TOKEN_BYTES = 4 * PAGE_KEYS;

/** How a session was made. */
export interface SavedSession {
  attention: PolicySpec;
  prefill: PolicySpec;
  denseFallback: boolean;
  cachePrecision: Precision;
  encodings: readonly Encoding[];
  scan: Scan;
}

export interface SnapshotHeader {
  readonly settings: CacheSettings;
  /** Name of the model, for people. */
  readonly modelName: string;
  /** How the session was made; undefined where the pages are of no session, but of the beginning of prompts. */
  readonly session?: SavedSession;
  /** Number of the first page in the file, and name of the prefix before it. */
  readonly firstPage: number;
  readonly prefix: string;
  /** Keys of all pages in the file. */
  readonly keys: number;
  /** Whether the pages are quantized ones of a cache that kept exact rows. */
  readonly compact: boolean;
}

/** A page with what belongs to it. */
export interface PageRecord {
  readonly tokens: Uint32Array;
  readonly page: PageBytes;
  /** What the heads had shown of themselves when the page was committed; undefined where more was committed with it. */
  readonly headErrors: Float64Array | undefined;
}

/** Bytes of a header, with the checksum that records continue. */
export interface EncodedHeader {
  bytes: Uint8Array;
  checksum: bigint;
}

export function encodeHeader(header: SnapshotHeader, checksum: Checksum): EncodedHeader {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(align(PREAMBLE_BYTES + json.length));
  const view = new DataView(bytes.buffer);
  for (const [i, letter] of [...MAGIC].entries()) bytes[i] = letter.charCodeAt(0);
  view.setUint32(8, SNAPSHOT_VERSION, true);
  view.setUint32(12, json.length, true);
  bytes.set(json, PREAMBLE_BYTES);
  const sum = headerChecksum(bytes, checksum);
  view.setBigUint64(16, sum, true);
  return { bytes, checksum: sum };
}

/** What the first bytes of a file promise: the bytes of its header, padding included. Throws `snapshot-invalid` and `-version`. */
export function headerByteLength(preamble: Uint8Array, name: string): number {
  const magic = String.fromCharCode(...preamble.subarray(0, MAGIC.length));
  if (preamble.length < PREAMBLE_BYTES || magic !== MAGIC) throw invalid(name, 'no saved session');
  const view = new DataView(preamble.buffer, preamble.byteOffset);
  const version = view.getUint32(8, true);
  if (version !== SNAPSHOT_VERSION) {
    throw llmError({
      code: 'snapshot-version',
      problem: `${name} was saved by another version of Keysieve.`,
      found: `version ${version} of the format, where this one reads ${SNAPSHOT_VERSION}`,
      remedy: 'Read the prompt again and save the session anew.',
    });
  }
  const length = view.getUint32(12, true);
  if (length > MAX_HEADER_BYTES) throw invalid(name, 'a damaged header');
  return align(PREAMBLE_BYTES + length);
}

export const PREAMBLE = PREAMBLE_BYTES;

/** Throws `snapshot-invalid` where the header is not what was written. */
export function decodeHeader(
  bytes: Uint8Array,
  name: string,
  checksum: Checksum,
): { header: SnapshotHeader; checksum: bigint } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sum = view.getBigUint64(16, true);
  if (sum !== headerChecksum(bytes, checksum)) throw invalid(name, 'a damaged header');
  const length = view.getUint32(12, true);
  const text = new TextDecoder().decode(bytes.subarray(PREAMBLE_BYTES, PREAMBLE_BYTES + length));
  return { header: JSON.parse(text) as SnapshotHeader, checksum: sum };
}

/** Of all bytes, the checksum's own counted as 0. */
function headerChecksum(bytes: Uint8Array, checksum: Checksum): bigint {
  const copy = bytes.slice();
  copy.fill(0, 16, 24);
  return checksum(copy, 0n);
}

/** Bytes of the record of a page with `keys` keys. */
export function recordByteLength(shape: CacheShape, keys: number): number {
  return align(offsets(shape).page + pageByteLength(shape, keys));
}

function offsets(shape: CacheShape) {
  const norms = RECORD_PREAMBLE_BYTES + TOKEN_BYTES;
  const errors = norms + 8 * normCount(shape);
  return { norms, errors, page: align(errors + 8 * headCount(shape)) };
}

const headCount = ({ layers, keyValueHeads }: CacheShape): number => layers * keyValueHeads;

/** The record of page `index`, of a file whose header has this checksum. */
export function encodeRecord(
  shape: CacheShape,
  { tokens, page, headErrors }: PageRecord,
  index: number,
  header: bigint,
  checksum: Checksum,
): Uint8Array {
  const bytes = new Uint8Array(recordByteLength(shape, page.keys));
  const view = new DataView(bytes.buffer);
  const at = offsets(shape);
  view.setUint32(8, page.keys, true);
  view.setUint32(12, headErrors === undefined ? 0 : 1, true);
  new Uint32Array(bytes.buffer, RECORD_PREAMBLE_BYTES, PAGE_KEYS).set(tokens);
  new Float64Array(bytes.buffer, at.norms, normCount(shape)).set(page.norms);
  if (headErrors !== undefined) new Float64Array(bytes.buffer, at.errors, headCount(shape)).set(headErrors);
  bytes.set(page.bytes, at.page);
  view.setBigUint64(0, recordChecksum(bytes, index, header, checksum), true);
  return bytes;
}

/** The page of a record, which shares its bytes; undefined where it is not what was written at this place of this file. */
export function decodeRecord(
  shape: CacheShape,
  bytes: Uint8Array<ArrayBuffer>,
  keys: number,
  index: number,
  header: bigint,
  checksum: Checksum,
): PageRecord | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length !== recordByteLength(shape, keys) || view.getUint32(8, true) !== keys) return undefined;
  if (view.getBigUint64(0, true) !== recordChecksum(bytes, index, header, checksum)) return undefined;
  const at = offsets(shape);
  const floats = (offset: number, count: number) => new Float64Array(bytes.slice(offset, offset + 8 * count).buffer);
  return {
    tokens: recordTokens(bytes).subarray(0, keys),
    page: {
      keys,
      bytes: bytes.subarray(at.page, at.page + pageByteLength(shape, keys)),
      norms: floats(at.norms, normCount(shape)),
    },
    headErrors: view.getUint32(12, true) === 1 ? floats(at.errors, headCount(shape)) : undefined,
  };
}

/** Bytes from the beginning of a record that have its tokens. */
export const RECORD_TOKENS_END = RECORD_PREAMBLE_BYTES + TOKEN_BYTES;

/** The tokens of a record, from its beginning. */
export const recordTokens = (bytes: Uint8Array): Uint32Array =>
  new Uint32Array(bytes.slice(RECORD_PREAMBLE_BYTES, RECORD_TOKENS_END).buffer);

/** Depends on the header and on the place too, so that no record passes for another. */
const recordChecksum = (bytes: Uint8Array, index: number, header: bigint, checksum: Checksum): bigint =>
  checksum(bytes.subarray(8), BigInt.asUintN(64, header + BigInt(index)));

const align = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

export function invalid(name: string, found: string, cause?: unknown) {
  return llmError({
    code: 'snapshot-invalid',
    problem: `${name} cannot be restored.`,
    found,
    remedy: 'Read the prompt again and save the session anew.',
    cause,
  });
}
