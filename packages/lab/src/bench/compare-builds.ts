/**
 * Two builds of core in one process, in turn on the same keys and queries: is one slower than the other? What else the
 * machine does changes times by more than a build does, so only the ratio within a round counts.
 */

import { relativeError } from '../numerics/attention.ts';
import { createRandom, normals } from '../numerics/random.ts';
import { ratioOf, type Spread, spreadOf } from '../numerics/spread.ts';
import { type WorkOptions, workOf, yieldToEventLoop } from '../work.ts';
import { startClock, type Time } from './clock.ts';

/** The heads that the builds attend for. */
export interface BuildShape {
  layers: number;
  heads: number;
  keyValueHeads: number;
  headDim: number;
  threads: number;
}

/** One step of attention in one layer, over a cache that is full. */
export interface BuildStep {
  layer: number;
  /** Position of the first query. */
  position: number;
  /** (count, heads, headDim) */
  queries: Float32Array;
  /** Filled with the outputs, of the same shape. */
  outputs: Float32Array;
  /** Whether the queries are a block of a prompt, which may share a sample. */
  isPrefill: boolean;
}

/** An attention of one build, with its cache. */
export interface BuildAttention extends AsyncDisposable {
  /** Fills a layer of the cache with keys and values, each (capacity, keyValueHeads, headDim). */
  fill(layer: number, keys: Float32Array, values: Float32Array): void;
  attend(step: BuildStep): void;
}

/** A build of core: makes attentions whose cache holds `capacity` keys. */
export type Build = (shape: BuildShape & { capacity: number }) => Promise<BuildAttention>;

/** What to compare, and how long. */
export interface CompareBuildsOptions extends WorkOptions {
  before: Build;
  after: Build;
  shape: BuildShape;
  /** Keys in the cache, for decoding and for a block of a prompt. */
  lengths: readonly number[];
  /** Tokens that each build decodes, and blocks that it reads, at every length. */
  rounds: { decode: number; prefill: number };
  /** Queries of a block of a prompt. */
  blockQueries: number;
}

/** One comparison. Times are milliseconds for all layers, by the clock. */
export interface BuildsRow {
  /** `first` are the first tokens of the process, before anything is warm. */
  what: 'first' | 'decode' | 'prefill';
  keys: number;
  before: Spread;
  after: Spread;
  /**
   * Time before over time after, round by round: above 1, the later build is faster. By the clock, and of the
   * processor, which other work on the machine disturbs less.
   */
  ratio: { wall: Spread; cpu: Spread };
  /** ||after - before|| / ||before|| of the outputs. */
  difference: number;
}

/** Tokens that count as the first ones. */
export const FIRST_DECODED = 64;
const WARM_UP = { decode: 32, prefill: 2 };
/** Scores spread by this many nats, as those of real heads do. */
const SCORE_SPREAD = 2;
/** Values with a mean, as real ones have: without it little would be left of many keys. */
const VALUE_MEAN = 1;
/** Queries that are taken in turn. */
const QUERY_POOL = 16;

/** Compares at every length. Throws what the builds throw, and where `signal` is aborted. */
export async function compareBuilds(options: CompareBuildsOptions): Promise<BuildsRow[]> {
  const rows: BuildsRow[] = [];
  for (const keys of options.lengths) rows.push(...(await compareAt(keys, rows.length === 0, options)));
  return rows;
}

async function compareAt(keys: number, isFirst: boolean, options: CompareBuildsOptions): Promise<BuildsRow[]> {
  const { before, after, shape, rounds, blockQueries } = options;
  const { signal, onProgress } = workOf(options);
  const sized = { ...shape, capacity: keys };
  await using older = await before(sized);
  await using newer = await after(sized);
  const random = createRandom(keys);
  const row = shape.keyValueHeads * shape.headDim;
  for (let layer = 0; layer < shape.layers; layer++) {
    const keyRows = normals(random, keys * row);
    const valueRows = normals(random, keys * row).map((value) => value + VALUE_MEAN);
    for (const side of [older, newer]) side.fill(layer, keyRows, valueRows);
  }
  const phase = async (what: BuildsRow['what'], count: number, queries: number): Promise<BuildsRow> => {
    const times = { before: [] as Time[], after: [] as Time[] };
    const width = shape.heads * shape.headDim * queries;
    const pool = Array.from({ length: what === 'prefill' ? 2 : QUERY_POOL }, () =>
      normals(random, width).map((x) => x * SCORE_SPREAD),
    );
    const outputs = { before: new Float32Array(width), after: new Float32Array(width) };
    const sides = [
      ['before', older],
      ['after', newer],
    ] as const;
    const warmUp = what === 'first' ? 0 : WARM_UP[what];
    for (let round = 0; round < warmUp + count; round++) {
      // Whoever comes second finds the processor's caches full of the other's keys: they take turns in that as well.
      for (const [name, side] of round % 2 === 0 ? sides : [...sides].reverse()) {
        const step = {
          position: keys - queries,
          queries: pool[round % pool.length] as Float32Array,
          outputs: outputs[name],
          isPrefill: what === 'prefill',
        };
        const clock = startClock();
        for (let layer = 0; layer < shape.layers; layer++) side.attend({ ...step, layer });
        const time = clock();
        if (round >= warmUp) times[name].push(time);
      }
      onProgress(`${what} at ${keys}`, round + 1, warmUp + count);
      await yieldToEventLoop(signal);
    }
    const of = (side: readonly Time[], kind: keyof Time) => side.map((time) => time[kind]);
    const ratio = (kind: keyof Time) => ratioOf(of(times.before, kind), of(times.after, kind));
    return {
      what,
      keys,
      before: spreadOf(of(times.before, 'wall')),
      after: spreadOf(of(times.after, 'wall')),
      ratio: { wall: ratio('wall'), cpu: ratio('cpu') },
      difference: relativeError(outputs.after, outputs.before),
    };
  };
  const rows: BuildsRow[] = [];
  if (isFirst) rows.push(await phase('first', FIRST_DECODED, 1));
  rows.push(await phase('decode', rounds.decode, 1));
  rows.push(await phase('prefill', rounds.prefill, Math.min(blockQueries, keys)));
  return rows;
}
