/**
 * Estimated errors of outputs against the true ones in float64, row by row: for single positions, as an answer has them,
 * and for blocks of positions, as a prompt has them.
 */
import { type Attention, createAttention, type PolicySpec, policyEncodings } from 'keysieve';
import type { CapturedHead } from '../../captures/captured-head.ts';
import { attendRow, relativeError } from '../../numerics/attention.ts';
import { mean, quantile } from '../../numerics/statistics.ts';
import { type WorkOptions, workOf, yieldToEventLoop } from '../../work.ts';
import { type Plant, plantedHead, plantedSets, QUERY_SCALES } from './planted.ts';

/** Heads under one name. */
export interface EstimateSet {
  name: string;
  heads: readonly CapturedHead[];
}

export interface BenchEstimatesOptions extends WorkOptions {
  /** Sets beside the planted ones. */
  captured: readonly EstimateSet[];
  /** Keys of the planted heads. Default: 8,192. */
  keys?: number;
  /** Equal seeds give equal planted heads. Default: 1. */
  seed?: number;
  /** Scales of the queries of planted normal keys. Default: `QUERY_SCALES`. */
  scales?: readonly number[];
  /** How to attend. Default: the sieve with its default budget. */
  policy?: PolicySpec | undefined;
}

/** One output: its relative error, and what the step said of it. Null: that nothing is known. */
export interface EstimatedRow {
  error: number;
  estimate: number | null;
}

/** The rows of a set. */
export interface EstimateResult {
  set: string;
  /** `answer`: position by position; `prompt`: blocks that share a sample. */
  reading: 'answer' | 'prompt';
  rows: readonly EstimatedRow[];
  summary: EstimateSummary;
}

export interface EstimateSummary {
  rows: number;
  /** Share of the rows of which nothing is known. */
  unknown: number;
  /** Median, 95th percentile and mean of the true error. */
  error: { median: number; p95: number; mean: number };
  /** Mean of the estimates, which is what reports give. */
  estimate: { mean: number };
  /** Median of the estimate over the true error. */
  ratio: number;
  /** Share of the rows whose true error is below twice the estimate. */
  withinTwice: number;
  /** Whether this is 95 % at least, and the ratio 3 at most. */
  holds: boolean;
}

/** Queries of each head, at its last positions: a block of a prompt. */
const QUERIES = 64;
/** Every Nth of these is tried as a position of an answer, and compared in a block. */
const STRIDE = 4;
/** Query heads that share the keys of a planted head: one head for each. */
const PLANTED_GROUPS = [1, 3, 1, 3];
const PLANTED_DIM = 64;
/** Below this an error is the rounding of float32. */
const FLOAT32_ERROR = 2e-6;

/** Share of the rows that twice the estimate must cover, and the largest median of estimate over error. */
const MIN_WITHIN_TWICE = 0.95;
const MAX_RATIO = 3;

/** Throws what attention throws. */
export async function benchEstimates(options: BenchEstimatesOptions): Promise<EstimateResult[]> {
  const { captured, keys = 8192, seed = 1, scales = QUERY_SCALES, policy = { policy: 'sieve' } } = options;
  const { signal, onProgress } = workOf(options);
  const planted = plantedSets(scales);
  const names = [...captured.map(({ name }) => name), ...Object.keys(planted)];
  const results: EstimateResult[] = [];
  for (const [done, name] of names.entries()) {
    onProgress('measuring estimates', done, names.length);
    const heads =
      captured.find((set) => set.name === name)?.heads ?? plantedHeads(planted[name] as Plant, name, keys, seed);
    const [answer, prompt]: [EstimatedRow[], EstimatedRow[]] = [[], []];
    for (const head of heads) {
      await yieldToEventLoop(signal);
      await using attention = await createFilled(head, policy);
      answer.push(...measureAnswer(attention, head, policy));
      prompt.push(...measurePrompt(attention, head, policy));
    }
    for (const [reading, rows] of [
      ['answer', answer],
      ['prompt', prompt],
    ] as const) {
      if (rows.length > 0) results.push({ set: name, reading, rows, summary: summarizeEstimates(rows) });
    }
  }
  return results;
}

const plantedHeads = (plant: Plant, name: string, n: number, seed: number): CapturedHead[] =>
  PLANTED_GROUPS.map((group, i) => ({
    name,
    ...plantedHead(plant, seed * PLANTED_GROUPS.length + i, { n, headDim: PLANTED_DIM, group, lastQueries: QUERIES }),
  }));

/** What some rows say together. */
export function summarizeEstimates(rows: readonly EstimatedRow[]): EstimateSummary {
  const errors = rows.map(({ error }) => error);
  const estimated = rows.filter((row): row is EstimatedRow & { estimate: number } => row.estimate !== null);
  const ratio = quantile(
    estimated.map(({ error, estimate }) => Math.max(estimate, FLOAT32_ERROR) / Math.max(error, FLOAT32_ERROR)),
    0.5,
  );
  const withinTwice = mean(estimated.map(({ error, estimate }) => (error <= 2 * estimate + FLOAT32_ERROR ? 1 : 0)));
  return {
    rows: rows.length,
    unknown: 1 - estimated.length / rows.length,
    error: { median: quantile(errors, 0.5), p95: quantile(errors, 0.95), mean: mean(errors) },
    estimate: { mean: mean(estimated.map(({ estimate }) => estimate)) },
    ratio,
    withinTwice,
    holds: withinTwice >= MIN_WITHIN_TWICE && ratio <= MAX_RATIO,
  };
}

async function createFilled({ n, group, headDim, keys, values }: CapturedHead, policy: PolicySpec): Promise<Attention> {
  const attention = await createAttention({
    layers: 1,
    keyValueHeads: 1,
    heads: group,
    headDim,
    capacity: n,
    encodings: policyEncodings(policy),
  });
  attention.cache.reserve(n);
  attention.cache.write(0, 0, keys, values);
  attention.cache.commit(n);
  return attention;
}

/** Queries (count, group, d) at the positions from `first` on, of the last ones. */
function queriesAt({ group, headDim, lastQueries, queries }: CapturedHead, first: number, count: number): Float32Array {
  const rows = new Float32Array(count * group * headDim);
  for (let i = 0; i < count; i++) {
    for (let member = 0; member < group; member++) {
      const from = (member * lastQueries + first + i) * headDim;
      rows.set(queries.subarray(from, from + headDim), (i * group + member) * headDim);
    }
  }
  return rows;
}

function measureAnswer(attention: Attention, head: CapturedHead, policy: PolicySpec): EstimatedRow[] {
  const rows: EstimatedRow[] = [];
  for (let i = Math.max(0, head.lastQueries - QUERIES); i < head.lastQueries; i += STRIDE) {
    rows.push(...measureRows(attention, head, policy, i, 1, false));
  }
  return rows;
}

function measurePrompt(attention: Attention, head: CapturedHead, policy: PolicySpec): EstimatedRow[] {
  const count = Math.min(QUERIES, head.lastQueries);
  return measureRows(attention, head, policy, head.lastQueries - count, count, true);
}

/** Rows that were not read in full, with their errors against what the cache holds. */
function measureRows(
  attention: Attention,
  head: CapturedHead,
  policy: PolicySpec,
  first: number,
  count: number,
  shareSamples: boolean,
): EstimatedRow[] {
  const { n, group, headDim, lastQueries } = head;
  const position = n - lastQueries + first;
  const queries = queriesAt(head, first, count);
  const rowErrors = new Float32Array(count * group);
  const request = { layer: 0, position, queries, policy, shareSamples, rowErrors };
  const { outputs, report } = attention.attend(request);
  if (report.rowsFull === report.rows) return [];
  const [keys, values] = (['keys', 'values'] as const).map((what) => attention.cache.read(0, 0, what, 0, n));
  const step = group * STRIDE;
  return Array.from({ length: Math.ceil(count / STRIDE) * group }, (_, i) => {
    const row = Math.floor(i / group) * step + (i % group);
    const estimate = rowErrors[row] as number;
    const at = row * headDim;
    const visible = position + Math.floor(row / group) + 1;
    const query = queries.subarray(at, at + headDim);
    const truth = attendRow(query, keys as Float32Array, values as Float32Array, visible).output;
    const error = relativeError(outputs.subarray(at, at + headDim), truth);
    return { error, estimate: Number.isFinite(estimate) ? estimate : null };
  });
}
