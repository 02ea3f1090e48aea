/** Between the pages of a session and records of a file. */
import { type Attention, KvCache, PAGE_KEYS } from 'keysieve';
import type { PageRecord } from './format.ts';

/** What the pages of a session are taken from, and what they are given to. */
export interface PagedTokens {
  readonly attention: Attention;
  readonly tokens: number[];
}

/** The record of a page as it lies. */
export function recordOf({ attention, tokens }: PagedTokens, page: number, headErrors?: Float64Array): PageRecord {
  return { tokens: tokensOf(tokens, page), page: attention.cache.copyPage(page), headErrors };
}

/** The record of a page quantized: full pages are those of an int8 cache. */
export function compactRecordOf(
  { attention, tokens }: PagedTokens,
  page: number,
  headErrors?: Float64Array,
): PageRecord {
  const { shape } = attention.cache;
  using quantized = new KvCache({ ...shape, precision: 'int8', encodings: [], capacity: PAGE_KEYS });
  appendRows(quantized, attention.cache, page);
  return { tokens: tokensOf(tokens, page), page: quantized.copyPage(0), headErrors };
}

/** Appends the page of a record, and its tokens. Throws as `KvCache.appendPage` does. */
export function appendRecord({ attention, tokens }: PagedTokens, record: PageRecord): void {
  attention.cache.appendPage(record.page);
  append(tokens, record.tokens);
}

/** Appends the rows that a quantized page stands for, and its tokens. */
export function appendCompactRecord({ attention, tokens }: PagedTokens, record: PageRecord): void {
  const { cache } = attention;
  using quantized = new KvCache({ ...cache.shape, precision: 'int8', encodings: [], capacity: PAGE_KEYS });
  quantized.appendPage(record.page);
  appendRows(cache, quantized, 0);
  append(tokens, record.tokens);
}

/** Writes the rows of a page of one cache behind those of another. */
function appendRows(target: KvCache, source: KvCache, page: number): void {
  const position = target.length;
  const layers = source.pageRows(page);
  const { keyValueHeads, headDim } = source.shape;
  const count = (layers[0]?.keys.length ?? 0) / (keyValueHeads * headDim);
  try {
    target.reserve(count);
    for (const [layer, { keys, values }] of layers.entries()) target.write(layer, position, keys, values);
    target.commit(position + count);
  } catch (error) {
    target.truncate(position);
    throw error;
  }
}

const tokensOf = (tokens: readonly number[], page: number): Uint32Array =>
  Uint32Array.from(tokens.slice(page * PAGE_KEYS, (page + 1) * PAGE_KEYS));

function append(tokens: number[], more: ArrayLike<number>): void {
  for (let i = 0; i < more.length; i++) tokens.push(more[i] as number);
}
