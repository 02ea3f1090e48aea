/**
 * Attention in bounded memory: keys that a policy drops are folded into remains as soon as a part of the text has been read,
 * and nothing else of them is kept, so that a text of any length fits.
 *
 * The keys that are left lie in a small cache of their own, in no positions but slots: rows of the remains, kept keys, and
 * those that have come since. Remains are keys like others there (`RemainsRows`) by a few dimensions more:
 *
 *   key (k_r, ln n_r, 1, 0 ...), value (v_r, 1, 0 ...);  exact key (k, 0, 0 ...), value (v, 0 ...)
 *   query (q / sqrt(d), 1, ln (1 + u), 0 ...), times the root of the longer dimension
 *
 * so that full attention over the slots is attention to both, and the output's first new number is the share of the remains.
 */
import type { KvCache } from '../cache/kv-cache.ts';
import { roundingOfMass } from '../certificates/certificate.ts';
import { invariant } from '../errors.ts';
import { evictLowest, type KeptKeys } from '../evictions/eviction.ts';
import { createPolicy, type EvictingParts, FULL_ATTENTION, type PolicySpec } from '../policies/policy.ts';
import { addMeanSquares, type Correction, type CreateRemains, type Remains } from '../remains/remains.ts';
import { groupBudget } from '../selectors/selector.ts';
import { type Attention, createAttention } from './attention.ts';
import { type AttentionReport, emptyReport } from './report.ts';

export interface BoundedAttentionOptions {
  layers: number;
  heads: number;
  keyValueHeads: number;
  /** A multiple of 8, at most 248. */
  headDim: number;
  /** An eviction with remains, and a budget that does not grow: `{ policy: 'remains', budget: 'fixed:512' }`. */
  policy: PolicySpec;
  /** Threads that work, the calling one included. Default: as `createAttention`. */
  threads?: number;
}

/** Dimensions that slots have more than keys. */
const EXTRA = 8;
/** Tokens of a pass at most, and after which keys are judged. */
export const PART_TOKENS = 256;

/** Queries, keys and values of the tokens of a pass in one layer. */
export interface BoundedRows {
  /** After RoPE, not scaled: (count, heads, headDim). */
  queries: Float32Array;
  /** (count, keyValueHeads, headDim) each */
  keys: Float32Array;
  values: Float32Array;
}

/** What one key-value head has beside its slots. */
interface HeadState {
  remains: Remains;
  /** Made when the rows were last written; undefined where nothing has been dropped. */
  correct: ((query: ArrayLike<number>) => Correction) | undefined;
}

/** Makes one that has read nothing. Throws `invalid-argument`, and as `createAttention`. */
export async function createBoundedAttention(options: BoundedAttentionOptions): Promise<BoundedAttention> {
  const { layers, heads, keyValueHeads, headDim, policy, threads } = options;
  const parts = checkPolicy(policy);
  const keys = boundedKeys(parts, options);
  const { remains } = parts.eviction;
  const rows = remains(headDim).maxRows;
  const attention = await createAttention({
    layers,
    heads,
    keyValueHeads,
    headDim: headDim + EXTRA,
    capacity: rows + keys + 2 * PART_TOKENS,
    precision: 'f32',
    ...(threads !== undefined && { threads }),
  });
  return new BoundedAttention(attention, options, parts, keys);
}

type PartsWithRemains = EvictingParts & { eviction: { remains: CreateRemains } };

function checkPolicy(spec: PolicySpec): PartsWithRemains {
  const { name, evicting } = createPolicy(spec);
  const { remains, unit, observedQueries } = evicting?.eviction ?? {};
  invariant(remains !== undefined && unit === 'head' && Number.isFinite(observedQueries), () => ({
    code: 'invalid-argument',
    problem: 'Memory is bounded by policies that drop keys, head by head, and keep remains of them.',
    found: name,
    remedy: 'Give the policy remains.',
  }));
  return evicting as PartsWithRemains;
}

/** Keys that every head keeps. Throws `invalid-argument` where that depends on the length, or on the head. */
function boundedKeys(
  { budget }: EvictingParts,
  { layers, heads, keyValueHeads }: Pick<BoundedAttentionOptions, 'layers' | 'heads' | 'keyValueHeads'>,
): number {
  const rows = heads / keyValueHeads;
  const keysOf = (n: number, layer: number, head: number) => groupBudget({ n, layer, head, rows }, budget);
  const keys = keysOf(2 ** 30, 0, 0);
  let isBounded = keysOf(2 ** 20, 0, 0) === keys;
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < heads; head += rows) isBounded &&= keysOf(2 ** 30, layer, head) === keys;
  }
  invariant(isBounded, () => ({
    code: 'invalid-argument',
    problem: 'Memory is bounded where every head keeps the same number of keys, whatever the length.',
    found: budget.name,
    remedy: 'Give a budget such as fixed:512.',
  }));
  return keys;
}

/**
 * Attention in bounded memory, of all layers of a model. It cannot go back to fewer tokens, since nothing takes a key out of
 * remains again; a fork keeps what there is now.
 */
export class BoundedAttention {
  readonly #attention: Attention;
  readonly #options: BoundedAttentionOptions;
  readonly #policy: PartsWithRemains;
  /** Keys that a head keeps when the others are dropped. */
  readonly #keys: number;
  readonly #headDim: number;
  /** By layer, then by key-value head. */
  readonly #heads: HeadState[][];
  /** By layer, the last queries (count, heads, headDim) that the policy looks at, and those of the pass that is under way. */
  readonly #last: Float32Array[];
  readonly #newest: Float32Array[];
  /** Slots at the beginning that are rows of remains. */
  #rows = 0;
  #length = 0;

  /** Use `createBoundedAttention`. */
  constructor(attention: Attention, options: BoundedAttentionOptions, policy: PartsWithRemains, keys: number) {
    const { headDim } = options;
    this.#attention = attention;
    this.#options = options;
    this.#policy = policy;
    this.#keys = keys;
    this.#headDim = headDim;
    const { layers, keyValueHeads } = attention.cache.shape;
    const { remains } = policy.eviction;
    const head = (): HeadState => ({ remains: remains(headDim), correct: undefined });
    this.#heads = Array.from({ length: layers }, () => Array.from({ length: keyValueHeads }, head));
    this.#last = Array.from({ length: layers }, () => new Float32Array(0));
    this.#newest = Array.from({ length: layers }, () => new Float32Array(0));
  }

  /** Tokens that it has read. */
  get length(): number {
    return this.#length;
  }

  /** Tokens of a pass at most: it ends where a part does. */
  get room(): number {
    return PART_TOKENS - (this.#length % PART_TOKENS);
  }

  /** Bytes of slots, remains and buffers. */
  get bytes(): number {
    const beside = [...this.#heads.flat().map(({ remains }) => remains.bytes), ...this.#last.map((x) => x.byteLength)];
    return this.#attention.bytes + beside.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Makes room for the tokens of a pass. Throws `invalid-argument` for more than `room`. */
  reserve(count: number): void {
    invariant(Number.isSafeInteger(count) && count > 0 && count <= this.room, () => ({
      code: 'invalid-argument',
      problem: `A pass ends where the next part of ${PART_TOKENS} tokens begins, at the latest.`,
      found: `${count} tokens after ${this.#length}`,
      remedy: `Pass ${this.room} tokens or fewer.`,
    }));
    const { cache } = this.#attention;
    cache.truncate(cache.length);
    cache.reserve(count);
  }

  /**
   * Writes the keys of a pass in one layer and attends to what is there, into `outputs` (count, heads, headDim). Throws as
   * `Attention.attend`; what was read before stays.
   */
  attend(layer: number, { queries, keys, values }: BoundedRows, outputs: Float32Array): AttentionReport {
    const { cache, heads } = this.#attention;
    const d = this.#headDim;
    cache.write(layer, cache.length, padded(keys, d), padded(values, d));
    const corrections = this.#corrections(layer, queries);
    const { outputs: wide, report } = this.#attention.attend({
      layer,
      position: cache.length,
      queries: this.#paddedQueries(queries, corrections),
      policy: FULL_ATTENTION,
    });
    const result = { ...emptyReport(), rows: report.rows, bytesRead: report.bytesRead };
    const count = queries.length / heads / d;
    for (let row = 0; row < count * heads; row++) {
      const from = row * (d + EXTRA);
      const output = outputs.subarray(row * d, (row + 1) * d);
      output.set(wide.subarray(from, from + d));
      const token = Math.floor(row / heads);
      const n = this.#length + token + 1;
      const exact = cache.length - this.#rows + token + 1;
      result.keys += n;
      result.keysExact += exact;
      const correction = corrections?.[row];
      if (correction === undefined) {
        result.rowsFull += 1;
        continue;
      }
      const share = Math.min(1, Math.max(0, wide[from + d] as number));
      for (const [i, x] of correction.shift.entries()) output[i] = (output[i] as number) + share * x;
      const query = queries.subarray(row * d, (row + 1) * d);
      this.#addShare(result, layer, row % heads, { share, correction, query, exact });
    }
    this.#newest[layer] = queries.slice(-this.#observedNumbers);
    result.bytesRead += this.#remainsBytes(layer) * (corrections === undefined ? 0 : 1);
    return result;
  }

  /**
   * Makes the tokens of a pass, whose layers have all been attended, part of what has been read, and drops keys where a part
   * of the text ends.
   */
  commit(): void {
    const { cache } = this.#attention;
    for (const [layer, newest] of this.#newest.entries()) {
      this.#last[layer] = flatten([this.#last[layer] as Float32Array, newest]).slice(-this.#observedNumbers);
    }
    this.#length += cache.reserved - cache.length;
    cache.commit(cache.reserved);
    if (this.#length % PART_TOKENS === 0 && cache.length - this.#rows > this.#keys) this.#drop();
  }

  /** One that has read the same tokens, and goes on by itself, in memory of its own. Throws as `createBoundedAttention`. */
  async fork(): Promise<BoundedAttention> {
    const fork = await createBoundedAttention(this.#options);
    const { cache } = this.#attention;
    const { layers, keyValueHeads } = cache.shape;
    fork.#rows = this.#rows;
    fork.#length = this.#length;
    const forkCache = fork.#attention.cache;
    forkCache.reserve(cache.length);
    for (let layer = 0; layer < layers; layer++) {
      fork.#last[layer] = this.#last[layer] as Float32Array;
      const slots = Array.from({ length: keyValueHeads }, (_, head) => slotsOf(cache, layer, head));
      const all = (what: 'keys' | 'values') =>
        interleave(slots.map((each) => Array.from({ length: each.count }, (_, slot) => each[what](slot))));
      forkCache.write(layer, 0, all('keys'), all('values'));
      for (let head = 0; head < keyValueHeads; head++) {
        const { remains, correct } = this.#headOf(layer, head);
        Object.assign(fork.#headOf(layer, head), { remains: remains.copy(), correct });
      }
    }
    forkCache.commit(cache.length);
    return fork;
  }

  /** Numbers of the queries that the policy looks at, of one layer. */
  get #observedNumbers(): number {
    return this.#policy.eviction.observedQueries * this.#attention.heads * this.#headDim;
  }

  async dispose(): Promise<void> {
    await this.#attention.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Of every query (count, heads) what it finds beside the rows; undefined where nothing has been dropped. */
  #corrections(layer: number, queries: Float32Array): Correction[] | undefined {
    if (this.#rows === 0) return undefined;
    const { heads, cache } = this.#attention;
    const d = this.#headDim;
    const group = heads / cache.shape.keyValueHeads;
    const scaled = queries.map((x) => x / Math.sqrt(d));
    return Array.from({ length: queries.length / d }, (_, row) => {
      const { correct } = this.#headOf(layer, Math.floor((row % heads) / group));
      return (correct as NonNullable<HeadState['correct']>)(scaled.subarray(row * d, (row + 1) * d));
    });
  }

  #headOf(layer: number, keyValueHead: number): HeadState {
    return this.#heads[layer]?.[keyValueHead] as HeadState;
  }

  #paddedQueries(queries: Float32Array, corrections: readonly Correction[] | undefined): Float32Array {
    const d = this.#headDim;
    const root = Math.sqrt(d + EXTRA);
    const wide = padded(queries, d);
    for (let row = 0, at = 0; at < wide.length; row++, at += d + EXTRA) {
      for (let i = at; i < at + d; i++) wide[i] = ((wide[i] as number) * root) / Math.sqrt(d);
      wide[at + d] = root;
      wide[at + d + 1] = root * (corrections?.[row]?.logFactor ?? 0);
    }
    return wide;
  }

  #remainsBytes(layer: number): number {
    return (this.#heads[layer] as HeadState[]).reduce((sum, { remains }) => sum + remains.bytes, 0);
  }

  /** Adds what is gone for one query to a report. */
  #addShare(
    report: AttentionReport,
    layer: number,
    head: number,
    { share, correction, query, exact }: { share: number; correction: Correction; query: Float32Array; exact: number },
  ): void {
    const { cache, heads } = this.#attention;
    const { shape } = cache;
    const { keys: maxKeyNorm } = cache.norms(layer, Math.floor(head / (heads / shape.keyValueHeads)));
    const { logFactor, rounding } = correction;
    const norm = Math.hypot(...query) / Math.sqrt(this.#headDim);
    const queryNorms = [Math.hypot(norm, 1, logFactor)];
    // By Jensen's inequality the rows have at most what the dropped keys have, but for what rounding has added.
    const ratio = (share / (1 - share)) * Math.exp(-logFactor - rounding);
    const slack = roundingOfMass({ shape, queryNorms, maxKeyNorm }, 0, exact + this.#rows);
    const atLeast = Math.max(0, (Number.isFinite(ratio) ? ratio / (1 + ratio) : 1) - 2 * slack);
    report.tailMass.sum += share;
    report.tailMass.max = Math.max(report.tailMass.max, share);
    report.goneAtLeast.sum += atLeast;
    report.goneAtLeast.max = Math.max(report.goneAtLeast.max, atLeast);
    report.outputError = { sum: Number.POSITIVE_INFINITY, max: Number.POSITIVE_INFINITY };
    report.certificate = 'estimated';
  }

  /** Drops all but the keys that are kept, of all heads, and writes the slots anew. */
  #drop(): void {
    const { cache } = this.#attention;
    const { layers, keyValueHeads } = cache.shape;
    const written = Array.from({ length: layers }, (_, layer) => {
      const heads = Array.from({ length: keyValueHeads }, (_, head) => this.#dropOf(layer, head));
      return { keys: interleave(heads.map(({ keys }) => keys)), values: interleave(heads.map(({ values }) => values)) };
    });
    cache.truncate(0);
    this.#rows = this.#headOf(0, 0).remains.maxRows;
    cache.reserve(this.#rows + this.#keys);
    for (const [layer, { keys, values }] of written.entries()) cache.write(layer, 0, keys, values);
    cache.commit(this.#rows + this.#keys);
  }

  /** Folds what one head drops. Returns its new slots, row by row. */
  #dropOf(layer: number, head: number): { keys: Float32Array[]; values: Float32Array[] } {
    const { eviction } = this.#policy;
    const d = this.#headDim;
    const state = this.#headOf(layer, head);
    const slots = slotsOf(this.#attention.cache, layer, head);
    const queries = this.#lastOf(layer, head);
    const kept: KeptKeys = { positions: [], scores: [] };
    for (let slot = this.#rows; slot < slots.count; slot++) kept.positions.push(slot);
    const rows = (what: 'keys' | 'values', positions: readonly number[]) =>
      flatten(positions.map((slot) => slots[what](slot).subarray(0, d)));
    const { positions: all } = kept;
    const received = this.#receivedBy(state, slots, queries);
    const evidence = { keys: () => rows('keys', all), values: () => rows('values', all), queries };
    kept.scores = Array.from(eviction.worthOfPrompt({ received, heads: [evidence] }));
    const gone = evictLowest(kept, this.#keys, eviction.recentKeys(this.#keys));
    const energies = new Float64Array(d);
    addMeanSquares(energies, queries);
    state.remains.fold({ keys: rows('keys', gone), values: rows('values', gone), energies });
    state.correct = state.remains.corrector();
    const remainsRows = rowsOfRemains(state.remains, d);
    return {
      keys: [...remainsRows.keys, ...kept.positions.map(slots.keys)],
      values: [...remainsRows.values, ...kept.positions.map(slots.values)],
    };
  }

  /** The last queries (count, group, headDim) that share a key-value head. */
  #lastOf(layer: number, head: number): Float32Array {
    const { heads, cache } = this.#attention;
    const width = (heads / cache.shape.keyValueHeads) * this.#headDim;
    const last = this.#last[layer] as Float32Array;
    const count = last.length / (heads * this.#headDim);
    const rows = Array.from({ length: count }, (_, i) => {
      const at = i * heads * this.#headDim + head * width;
      return last.subarray(at, at + width);
    });
    return flatten(rows);
  }

  /** The attention that exact keys have received from the last queries, one a token. */
  #receivedBy({ correct }: HeadState, slots: Slots, queries: Float32Array): Float64Array {
    const { heads, cache } = this.#attention;
    const d = this.#headDim;
    const group = heads / cache.shape.keyValueHeads;
    const tokens = queries.length / (group * d);
    const received = new Float64Array(slots.count - this.#rows);
    const scores = new Float64Array(slots.count);
    for (let row = 0; row < tokens * group; row++) {
      const query = queries.subarray(row * d, (row + 1) * d).map((x) => x / Math.sqrt(d));
      const logFactor = correct === undefined ? 0 : correct(query).logFactor;
      const seen = slots.count - (tokens - 1 - Math.floor(row / group));
      let max = Number.NEGATIVE_INFINITY;
      for (let slot = 0; slot < seen; slot++) {
        const key = slots.keys(slot);
        let score = (key[d] as number) + logFactor * (key[d + 1] as number);
        for (let i = 0; i < d; i++) score += (query[i] as number) * (key[i] as number);
        scores[slot] = score;
        max = Math.max(max, score);
      }
      let total = 0;
      for (let slot = 0; slot < seen; slot++) total += Math.exp((scores[slot] as number) - max);
      for (let slot = this.#rows; slot < seen; slot++) {
        const at = slot - this.#rows;
        received[at] = (received[at] as number) + Math.exp((scores[slot] as number) - max) / total;
      }
    }
    return received;
  }
}

/** The slots of one head: rows of d + EXTRA numbers each. */
interface Slots {
  count: number;
  keys(slot: number): Float32Array;
  values(slot: number): Float32Array;
}

function slotsOf(cache: KvCache, layer: number, head: number): Slots {
  const { length, shape } = cache;
  const width = shape.headDim;
  const all = (what: 'keys' | 'values') => cache.read(layer, head, what, 0, length);
  const [keys, values] = [all('keys'), all('values')];
  const row = (rows: Float32Array) => (slot: number) => rows.subarray(slot * width, (slot + 1) * width);
  return { count: length, keys: row(keys), values: row(values) };
}

/** Rows (n, d) with `EXTRA` zeros behind each. */
function padded(rows: Float32Array, d: number): Float32Array {
  const wide = new Float32Array((rows.length / d) * (d + EXTRA));
  for (let from = 0, to = 0; from < rows.length; from += d, to += d + EXTRA)
    wide.set(rows.subarray(from, from + d), to);
  return wide;
}

/** The rows of remains as slots, always `maxRows` of them: where there are fewer, the first is several of a part of its weight. */
function rowsOfRemains(remains: Remains, d: number): { keys: Float32Array[]; values: Float32Array[] } {
  const { logWeights, keys, values } = remains.rows();
  const parts = remains.maxRows - logWeights.length + 1;
  const slots: { keys: Float32Array[]; values: Float32Array[] } = { keys: [], values: [] };
  for (let slot = 0; slot < remains.maxRows; slot++) {
    const row = Math.max(0, slot - parts + 1);
    const key = new Float32Array(d + EXTRA);
    key.set(keys.subarray(row * d, (row + 1) * d));
    key[d] = (logWeights[row] as number) - (row === 0 ? Math.log(parts) : 0);
    key[d + 1] = 1;
    const value = new Float32Array(d + EXTRA);
    value.set(values.subarray(row * d, (row + 1) * d));
    value[d] = 1;
    slots.keys.push(key);
    slots.values.push(value);
  }
  return slots;
}

function flatten(rows: readonly Float32Array[]): Float32Array {
  const flat = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const row of rows) {
    flat.set(row, at);
    at += row.length;
  }
  return flat;
}

/** Rows of several heads as (count, heads, width). */
const interleave = (heads: readonly (readonly Float32Array[])[]): Float32Array =>
  flatten((heads[0] as readonly Float32Array[]).flatMap((_, i) => heads.map((rows) => rows[i] as Float32Array)));
