/**
 * Which basis a head's scan gets, from queries and keys of a text that was attended in full. Energies of queries and
 * variances of keys are properties of a model's RoPE pairs and hold from text to text; principal axes do not. A head
 * gets a basis only where its scan is clearly better by it: on sharp heads signs can be the better scan.
 */
import { headPages } from '../cache/head-pages.ts';
import { KvCache } from '../cache/kv-cache.ts';
import type { Segment } from '../cache/page-list.ts';
import type { Region } from '../cache/slab-pool.ts';
import { invariant } from '../errors.ts';
import { PAGE_KEYS } from '../kernels/layout.ts';
import { quantizedQueryBytes, scanFractionBits, scanStride } from '../kernels/quantized-kernels.ts';
import { type ScanBasis, supportsScanBasis } from '../kernels/scan-basis.ts';
import { SINK_KEYS } from '../selectors/selector.ts';
import { MAX_BASIS_ERROR_RATIO } from './constants.ts';

/** A text as one key-value head and its query heads have attended it. */
export interface HeadSample {
  headDim: number;
  /** (n, headDim), as the cache holds them. */
  keys: Float32Array;
  /** (n, heads, headDim): the queries of the `heads` that share the keys. */
  queries: Float32Array;
  heads: number;
  /** For each dimension the other one of its RoPE pair; itself where it is not turned (headDim). */
  partners: ArrayLike<number>;
}

/** Keys of a sample, at least. */
const MIN_SAMPLE_KEYS = 3 * PAGE_KEYS;

/** The basis for a head's scan, undefined where signs are as good. Throws `invalid-argument`. */
export function chooseScanBasis(sample: HeadSample): ScanBasis | undefined {
  const { headDim, keys, queries, heads, partners } = sample;
  const n = keys.length / headDim;
  invariant(Number.isInteger(n) && queries.length === n * heads * headDim && partners.length === headDim, () => ({
    code: 'invalid-argument',
    problem: `Keys are (n, ${headDim}), queries (n, ${heads}, ${headDim}), and every dimension has a partner.`,
    found: `${keys.length} and ${queries.length} numbers, ${partners.length} partners`,
    remedy: 'Pass a head as it was attended.',
  }));
  if (!supportsScanBasis(headDim) || n < MIN_SAMPLE_KEYS) return undefined;
  const basis = basisOf(sample);
  if (basis === undefined) return undefined;
  const [bySigns, byBasis] = [scanError(sample, undefined), scanError(sample, basis)];
  return byBasis < MAX_BASIS_ERROR_RATIO * bySigns ? basis : undefined;
}

/** Dimensions in the order of energy times variance, whole pairs, with weights (energy / variance)^(1/4). */
function basisOf({ headDim, keys, queries, partners }: HeadSample): ScanBasis | undefined {
  const energies = pairMeans(meanSquares(queries, headDim), partners);
  const variances = pairMeans(variancesInPages(keys, headDim), partners);
  const products = energies.map((energy, i) => energy * (variances[i] as number));
  const largest = products.reduce((a, b) => Math.max(a, b), 0);
  if (!(largest > 0)) return undefined;
  const first = (i: number) => Math.min(i, partners[i] as number);
  const order = Array.from({ length: headDim }, (_, i) => i).sort(
    (a, b) => (products[b] as number) - (products[a] as number) || first(a) - first(b) || a - b,
  );
  const dimensions = order.slice(0, (3 * headDim) / 4);
  const weights = dimensions.map((i) => ((energies[i] as number) / (variances[i] as number)) ** 0.25);
  // A dimension that no query looks at, or in which keys do not vary, has no weight of its own.
  const usable = weights.filter((weight) => weight > 0 && Number.isFinite(weight));
  const [least, most] = [Math.min(...usable), Math.max(...usable)];
  return {
    dimensions,
    weights: weights.map((weight) => Math.fround(Number.isNaN(weight) ? 1 : Math.max(least, Math.min(most, weight)))),
  };
}

function meanSquares(rows: Float32Array, headDim: number): number[] {
  const sums = new Array<number>(headDim).fill(0);
  for (const [at, x] of rows.entries()) sums[at % headDim] = (sums[at % headDim] as number) + x * x;
  return sums.map((sum) => (sum * headDim) / rows.length);
}

/** Variances of the keys around the means of their pages, which scans know exactly; sinks, which stand out, left out. */
function variancesInPages(keys: Float32Array, headDim: number): number[] {
  const n = keys.length / headDim;
  const sums = new Array<number>(headDim).fill(0);
  for (let start = 0; start + PAGE_KEYS <= n; start += PAGE_KEYS) {
    const from = Math.max(start, SINK_KEYS);
    for (let i = 0; i < headDim; i++) {
      let [sum, squares] = [0, 0];
      for (let j = from; j < start + PAGE_KEYS; j++) {
        const x = keys[j * headDim + i] as number;
        sum += x;
        squares += x * x;
      }
      sums[i] = (sums[i] as number) + squares - sum ** 2 / (start + PAGE_KEYS - from);
    }
  }
  return sums.map((sum) => Math.max(0, sum) / n);
}

const pairMeans = (numbers: readonly number[], partners: ArrayLike<number>): number[] =>
  numbers.map((x, i) => (x + (numbers[partners[i] as number] as number)) / 2);

/**
 * How wrong a scan's scores are: the squared error around its median, each key by its share of the softmax, mean over
 * queries. The median is left out since all keys of a query may be off alike.
 */
function scanError({ headDim, keys, queries, heads }: HeadSample, basis: ScanBasis | undefined): number {
  const n = keys.length / headDim;
  const pages = Math.floor(n / PAGE_KEYS);
  const stride = scanStride(n);
  const scale = 1 / Math.sqrt(headDim);
  const buffers = { queries: heads * headDim * 4, quantizedQuery: quantizedQueryBytes(heads, headDim) };
  using cache = new KvCache({
    layers: 1,
    keyValueHeads: 1,
    headDim,
    capacity: n,
    precision: 'f32',
    encodings: ['sign'],
    scanBases: [basis],
    shared: false,
  });
  cache.reserve(n);
  cache.write(0, 0, keys, new Float32Array(keys.length));
  cache.commit(n);
  const [segment] = cache.segments(n) as [Segment];
  const { arena, bases } = cache.regions[segment.region] as Region;
  const head = headPages(cache.shape, 0, 0, segment, bases);
  const allocate = (bytes: number) => arena.allocate(bytes) as number;
  const address = allocate(buffers.queries);
  const quantized = allocate(buffers.quantizedQuery);
  const scratch = allocate(2 * headDim * 4);
  const scans = allocate(heads * stride * 2 + 64);
  const centerScores = allocate(heads * pages * 4);
  let [sum, count] = [0, 0];
  for (let position = 2 * PAGE_KEYS; position < n; position += 4) {
    const scannedPages = Math.floor(position / PAGE_KEYS);
    const to = scannedPages * PAGE_KEYS;
    const rows = queries.subarray(position * heads * headDim, (position + 1) * heads * headDim).map((x) => x * scale);
    const exact = Array.from({ length: heads }, (_, row) => scoresOf(rows.subarray(row * headDim), keys, headDim, to));
    const largest = exact.flat().reduce((max, x) => Math.max(max, Math.abs(x)), 1e-6);
    const fractionBits = scanFractionBits(2 * largest);
    arena.views().f32.set(rows, address / 4);
    arena.kernels.quantizeQueries(head, address, heads, quantized, scratch);
    const prepared = { address: quantized, rows: heads, centerScores, centerStride: scannedPages };
    arena.kernels.scanSigns(head, 0, to, prepared, fractionBits, scans, stride);
    for (const [row, scores] of exact.entries()) {
      const start = scans / 2 + row * stride;
      const units = arena.views().i16.subarray(start, start + to);
      sum += weightedError(
        scores,
        Array.from(units, (x) => x * Math.LN2 * 2 ** -fractionBits),
      );
      count++;
    }
  }
  return sum / count;
}

function scoresOf(query: Float32Array, keys: Float32Array, headDim: number, n: number): number[] {
  return Array.from({ length: n }, (_, j) => {
    let score = 0;
    for (let i = 0; i < headDim; i++) score += (query[i] as number) * (keys[j * headDim + i] as number);
    return score;
  });
}

/** Mean of (estimate - score - median)^2 over the keys behind the sinks, by their shares of the softmax. */
function weightedError(scores: readonly number[], estimates: readonly number[]): number {
  const behindSinks = scores.slice(SINK_KEYS);
  const errors = behindSinks.map((score, j) => (estimates[j + SINK_KEYS] as number) - score);
  const median = [...errors].sort((a, b) => a - b)[errors.length >> 1] as number;
  const max = behindSinks.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = behindSinks.map((score) => Math.exp(score - max));
  const total = weights.reduce((a, b) => a + b, 0);
  return errors.reduce((sum, error, j) => sum + (weights[j] as number) * (error - median) ** 2, 0) / total;
}
