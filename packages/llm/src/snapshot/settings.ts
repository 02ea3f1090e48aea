/**
 * What keys and values depend on beside the tokens. Two caches whose settings are equal hold the same for the same tokens,
 * but for the rounding that the chunks bring in which they were read.
 */

import { PAGE_KEYS, type Policy } from 'keysieve';
import type { CacheShape } from 'keysieve/engine';
import { createSha256 } from '#platform';

/** Version of the files, and of what their bytes mean. */
export const SNAPSHOT_VERSION = 1;

/** What the sieve scans keys by. */
export const SCANS = ['signs', 'basis'] as const;
/** One of `SCANS`. */
export type Scan = (typeof SCANS)[number];

export interface CacheSettings {
  /** SHA-256 of the model's file. */
  readonly model: string;
  /** Precision of the dense layers. */
  readonly precision: string;
  /** Tells the rotations of positions apart, as they are at the model's context. */
  readonly rope: string;
  /** How answers and prompts attend, as JSON. */
  readonly attention: string;
  readonly prefill: string;
  readonly cache: CacheShape;
  /** What keys are scanned by: `signs`, or `basis` with a hash of the bases of all heads. */
  readonly scan: string;
  readonly pageKeys: number;
}

/** What a policy is, as text that is equal for equal policies. */
export const policyText = ({ parsed }: Policy): string => JSON.stringify(parsed);

/** Names of settings, for errors. */
export const SETTING_NAMES: Readonly<Record<keyof CacheSettings, string>> = {
  model: 'the file of the model',
  precision: 'the precision of the dense layers',
  rope: 'the rotations of positions (RoPE), which depend on the context',
  attention: 'the attention of answers',
  prefill: 'the attention of prompts',
  cache: 'the shape of the cache',
  scan: 'what the sieve scans keys by',
  pageKeys: 'the keys of a page',
};

/** The first setting that differs, of those named; undefined where all are equal. */
export function differingSetting(
  a: CacheSettings,
  b: CacheSettings,
  names: readonly (keyof CacheSettings)[],
): keyof CacheSettings | undefined {
  return names.find((name) => JSON.stringify(a[name]) !== JSON.stringify(b[name]));
}

/** Name of the empty prefix: other settings, another name. */
export function rootOf(settings: CacheSettings): string {
  const { model, precision, rope, attention, prefill, cache, scan, pageKeys } = settings;
  const { layers, keyValueHeads, headDim, precision: cachePrecision, encodings } = cache;
  const shape = [layers, keyValueHeads, headDim, cachePrecision, encodings, pageKeys];
  return hashOf(JSON.stringify([SNAPSHOT_VERSION, model, precision, rope, attention, prefill, shape, scan]));
}

/** Names of the prefixes that end with each full page of `tokens`: each depends on all tokens before its end. */
export function prefixNames(root: string, tokens: ArrayLike<number>): string[] {
  const names: string[] = [];
  let name = root;
  for (let page = 0; (page + 1) * PAGE_KEYS <= tokens.length; page++) {
    const numbers = Uint32Array.from({ length: PAGE_KEYS }, (_, i) => tokens[page * PAGE_KEYS + i] as number);
    name = hashOf(name, new Uint8Array(numbers.buffer));
    names.push(name);
  }
  return names;
}

/** 128 bits of SHA-256, hexadecimal. */
export function hashOf(...parts: (string | Uint8Array)[]): string {
  const hash = createSha256();
  for (const part of parts) hash.update(part);
  return hash.digest().slice(0, 32);
}

/** Tokens that two lists have in common from the start on. */
export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const maxLength = Math.min(a.length, b.length);
  let length = 0;
  while (length < maxLength && a[length] === b[length]) length++;
  return length;
}
