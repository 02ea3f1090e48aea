/** An attention over random keys, and the truth about what it should give. */
import type { Attention } from '../src/attention/attention.ts';
import type { ScoreRule } from '../src/attention/score-rule.ts';
import { concatenate } from './cache-model.ts';
import { roundToFloat16 } from './float16.ts';
import { type AttentionProblem, attention32, attention64, distance, positionsBelow } from './plain-attention.ts';
import type { Random } from './random.ts';

/** Keys and values of every layer as the cache holds them: (n, keyValueHeads, headDim) each. */
export interface LayerRows {
  keys: Float32Array;
  values: Float32Array;
}

export interface AttentionBench {
  readonly attention: Attention;
  readonly stored: readonly LayerRows[];
  /** Appends random keys and commits them; `shape` makes another number of each. */
  append(count: number, shape?: (x: number, i: number) => number): void;
  /** (count, heads, headDim) of scores spread by `spread` nats. */
  queries(count: number, spread?: number): Float32Array;
  /** One head of some queries as a problem; `seen` gives the keys of each query, or else all before it. */
  problem(layer: number, head: number, position: number, queries: Float32Array, seen?: Int32Array[]): AttentionProblem;
}

/** A bench whose problems follow the rule of the attention. */
export function createBench(attention: Attention, random: Random, rule: ScoreRule = {}): AttentionBench {
  const { cache, heads } = attention;
  const { layers, keyValueHeads, headDim, precision } = cache.shape;
  const stored = Array.from(
    { length: layers },
    (): LayerRows => ({ keys: new Float32Array(), values: new Float32Array() }),
  );
  const round = (numbers: Float32Array) => (precision === 'f16' ? roundToFloat16(numbers) : numbers);
  /** What the cache holds of a layer, where that is not what was written, rounded. */
  const readLayer = (layer: number): LayerRows => {
    const rows = (what: 'keys' | 'values') => {
      const all = new Float32Array(cache.length * keyValueHeads * headDim);
      for (let head = 0; head < keyValueHeads; head++) {
        const rowsOfHead = cache.read(layer, head, what, 0, cache.length);
        for (let j = 0; j < cache.length; j++) {
          all.set(rowsOfHead.subarray(j * headDim, (j + 1) * headDim), (j * keyValueHeads + head) * headDim);
        }
      }
      return all;
    };
    return { keys: rows('keys'), values: rows('values') };
  };
  return {
    attention,
    stored,
    append(count, shape = (x) => x) {
      const position = cache.length;
      cache.reserve(count);
      for (const [layer, rows] of stored.entries()) {
        const numbers = () => random.normals(count * keyValueHeads * headDim).map(shape);
        const [keys, values] = [numbers(), numbers()];
        cache.write(layer, position, keys, values);
        rows.keys = concatenate(rows.keys, round(keys));
        rows.values = concatenate(rows.values, round(values));
      }
      cache.commit(position + count);
      if (precision !== 'int8') return;
      for (const [layer, rows] of stored.entries()) Object.assign(rows, readLayer(layer));
    },
    queries: (count, spread = 1) => random.normals(count * heads * headDim, spread),
    problem(layer, head, position, queries, seen) {
      const count = queries.length / (heads * headDim);
      const keyValueHead = Math.floor(head / (heads / keyValueHeads));
      const { keys, values } = stored[layer] as LayerRows;
      const rowsOf = (numbers: Float32Array, rowCount: number, rowHeads: number, at: number) => {
        const rows = new Float64Array(rowCount * headDim);
        for (let row = 0; row < rowCount; row++) {
          const from = (row * rowHeads + at) * headDim;
          rows.set(numbers.subarray(from, from + headDim), row * headDim);
        }
        return rows;
      };
      const n = keys.length / (keyValueHeads * headDim);
      const { window = Number.POSITIVE_INFINITY, softCap, sinks } = rule;
      const sink = sinks?.[layer]?.[head];
      const visible = (end: number) => positionsBelow(end).subarray(Math.max(0, end - window));
      return {
        ...(softCap !== undefined && { softCap }),
        ...(sink !== undefined && { sinks: new Array<number>(count).fill(sink) }),
        headDim,
        queries: rowsOf(queries, count, heads, head).map((x) => x / Math.sqrt(headDim)),
        keys: rowsOf(keys, n, keyValueHeads, keyValueHead),
        values: rowsOf(values, n, keyValueHeads, keyValueHead),
        visible: seen ?? Array.from({ length: count }, (_, i) => visible(position + i + 1)),
      };
    },
  };
}

/** The rows of one head among outputs (count, heads, headDim). */
export function headRows(outputs: Float32Array, heads: number, headDim: number, head: number): Float32Array {
  const count = outputs.length / (heads * headDim);
  const rows = new Float32Array(count * headDim);
  for (let row = 0; row < count; row++) {
    const from = (row * heads + head) * headDim;
    rows.set(outputs.subarray(from, from + headDim), row * headDim);
  }
  return rows;
}

/**
 * How many times the error of plain float32 an output has, in norm over all heads, plain float32 with its queries
 * scaled and rounded first.
 */
export function errorRatio(
  bench: AttentionBench,
  layer: number,
  position: number,
  queries: Float32Array,
  outputs: Float32Array,
  seen?: Int32Array[],
): number {
  const { heads, cache } = bench.attention;
  let [actual, plain] = [0, 0];
  for (let head = 0; head < heads; head++) {
    const problem = bench.problem(layer, head, position, queries, seen);
    const truth = attention64(problem).outputs;
    const scaled = { ...problem, queries: Float32Array.from(problem.queries) };
    actual += distance(headRows(outputs, heads, cache.shape.headDim, head), truth).norm ** 2;
    plain += distance(attention32(scaled), truth).norm ** 2;
  }
  // With few keys the plain error may be zero by luck; this is one rounding of the outputs.
  const floor = 2 ** -24 * Math.sqrt(outputs.reduce((sum, x) => sum + x * x, 0));
  return Math.sqrt(actual) / Math.max(Math.sqrt(plain), floor);
}
