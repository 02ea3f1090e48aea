/**
 * Policies on captured heads: the errors of their outputs against float64, what they read, whether their certificates
 * hold, and their times against full attention in the same run.
 */
import {
  type Attention,
  createAttention,
  createPolicy,
  type PolicySpec,
  type Precision,
  policyEncodings,
} from 'keysieve';
import type { CapturedHead } from '../captures/captured-head.ts';
import { type AttentionRow, attendRow, minKeysForMass, relativeError } from '../numerics/attention.ts';
import { type Spread, spreadOf } from '../numerics/spread.ts';
import { mean, quantile } from '../numerics/statistics.ts';
import { type WorkOptions, workOf, yieldToEventLoop } from '../work.ts';
import { rejectEvictingPolicies } from './evicting-policies.ts';
import { quantizeRows } from './quantized-rows.ts';

/** A policy on one query head. */
export interface HeadResult {
  /** Name of the key-value head, and index of the query head in its GQA group. */
  name: string;
  head: number;
  outputError: { mean: number; p95: number };
  /** Mean share of the softmax that was not read exactly, as reported: a bound or an estimate. */
  tailMass: number;
  keysExact: number;
  keysQuantized: number;
  /** Bytes read for each key of the context, by all query heads of the GQA group together. */
  bytesPerKey: number;
  /** Rows whose certified bound on the output error was below the error, in float64, against the cache's contents. */
  violations: number;
}

/** A policy on all heads. */
export interface PolicyResult {
  policy: string;
  budget: string | null;
  heads: HeadResult[];
  summary: {
    outputError: { mean: number; p95: number };
    keysExact: number;
    keysQuantized: number;
    bytesPerKey: number;
    denseBytesPerKey: number;
    violations: number;
    /** Time of full attention over the policy's: one thread, query by query in turn. */
    speedup: { f32: Spread; f16: Spread };
    /**
     * For estimated errors: the root mean square of the true ones over that of the estimates, and the share of rows whose
     * error is at most twice the estimate. Null where errors are certified.
     */
    calibration: { ratio: number; withinTwice: number } | null;
    /** Share of the rows that read more keys for a certificate, and share that read all keys. */
    certificateFallbacks: number;
    fullAttention: number;
    certify: CertifyResult | null;
  };
}

/** What it took to certify that at most a share of the softmax stays unread. */
export interface CertifyResult {
  share: number;
  /** Share of the rows for which the policy's own selection was enough. */
  certifiedWithoutExtension: number;
  /** Mean keys that a row read exactly in the end, and that an oracle needs for the same share, in float64. */
  keysExact: number;
  oracleKeys: number;
  ratio: number;
  /** Median ratio of the certified bound on the output error to the error; null where no row has an error. */
  looseness: number | null;
}

/** Full attention over a cache with fewer bits a number: a point to compare policies with. */
export interface QuantizedResult {
  name: string;
  bytesPerKey: number;
  outputError: number;
}

/** Which policies are measured, on what. */
export interface BenchAttentionOptions extends WorkOptions {
  heads: readonly CapturedHead[];
  policies: readonly PolicySpec[];
  /** Queries of each head, counted back from the last one. Default: 128. */
  lastQueries?: number;
  /** Takes every Nth of these queries. Default: 1. */
  stride?: number;
  /** Precision of the policies' cache. Default: `f16`. */
  precision?: Precision | undefined;
}

/** Repetitions of every timing, of which the median counts. */
const ROUNDS = 5;

/**
 * Measures every policy on every head. Throws `invalid-argument` for policies that evict keys by the queries of a whole
 * prompt, of which captures have only the last.
 */
export async function benchAttention(options: BenchAttentionOptions): Promise<PolicyResult[]> {
  const { heads, policies } = options;
  const { signal, onProgress } = workOf(options);
  rejectEvictingPolicies(policies);
  const collected = policies.map((): HeadMeasurement[] => []);
  for (const [at, head] of heads.entries()) {
    const steps = stepsOf(head, options);
    const measured = await measureHead(head, steps, options, signal, (done) => {
      onProgress('measuring policies and heads', at * policies.length + done, heads.length * policies.length);
    });
    for (const [i, measurement] of measured.entries()) collected[i]?.push(measurement);
  }
  return policies.map((spec, i) => summarize(spec, collected[i] as HeadMeasurement[]));
}

/** The truth of every row at the queries that are measured. */
interface Step {
  position: number;
  /** (group, d) */
  queries: Float32Array;
  truth: AttentionRow[];
}

/** A step with full attention over the contents of the policies' cache as well, which certificates are about. */
interface CachedStep extends Step {
  cachedTruth: AttentionRow[];
}

type QueryRange = Pick<BenchAttentionOptions, 'lastQueries' | 'stride'>;

function stepsOf(head: CapturedHead, { lastQueries = 128, stride = 1 }: QueryRange): Step[] {
  const { n, group, headDim, queries } = head;
  const steps: Step[] = [];
  for (let i = head.lastQueries - 1; i >= Math.max(0, head.lastQueries - lastQueries); i -= stride) {
    const position = n - head.lastQueries + i;
    const rows = new Float32Array(group * headDim);
    for (let row = 0; row < group; row++) {
      const from = (row * head.lastQueries + i) * headDim;
      rows.set(queries.subarray(from, from + headDim), row * headDim);
    }
    const truth = Array.from({ length: group }, (_, row) =>
      attendRow(rows.subarray(row * headDim, (row + 1) * headDim), head.keys, head.values, position + 1),
    );
    steps.push({ position, queries: rows, truth });
  }
  return steps;
}

interface HeadMeasurement {
  head: CapturedHead;
  /** (steps, group) */
  errors: number[][];
  reported: number[][];
  tailMass: number;
  keysExact: number;
  keysQuantized: number;
  bytesPerKey: number;
  certified: boolean;
  violations: number[];
  speedups: { f32: number[]; f16: number[] };
  certificateFallbacks: number;
  fullAttention: number;
  certifiedWithoutExtension: number;
  oracleKeys: number;
}

async function measureHead(
  head: CapturedHead,
  exactSteps: readonly Step[],
  { policies, precision = 'f16' }: BenchAttentionOptions,
  signal: AbortSignal,
  onDone: (policies: number) => void,
): Promise<HeadMeasurement[]> {
  const encodings = [...new Set(policies.flatMap(policyEncodings))];
  await using policyCache = await createFilled(head, precision, encodings);
  await using f16Cache = await createFilled(head, 'f16', []);
  await using f32Cache = await createFilled(head, 'f32', []);
  const steps = withCachedTruth(head, exactSteps, policyCache);
  const caches = { kept: policyCache, half: f16Cache, single: f32Cache };
  const measured: HeadMeasurement[] = [];
  for (const policy of policies) {
    await yieldToEventLoop(signal);
    measured.push(measurePolicy(head, steps, caches, policy));
    onDone(measured.length);
  }
  return measured;
}

/** Adds full attention over what the cache holds, which in float16 is what was captured. */
function withCachedTruth(head: CapturedHead, steps: readonly Step[], { cache }: Attention): CachedStep[] {
  if (cache.shape.precision !== 'int8') return steps.map((step) => ({ ...step, cachedTruth: step.truth }));
  const [keys, values] = (['keys', 'values'] as const).map((what) => cache.read(0, 0, what, 0, cache.length));
  const { headDim } = head;
  return steps.map((step) => {
    const cachedTruth = step.truth.map((_, row) => {
      const query = step.queries.subarray(row * headDim, (row + 1) * headDim);
      return attendRow(query, keys as Float32Array, values as Float32Array, step.position + 1);
    });
    return { ...step, cachedTruth };
  });
}

async function createFilled(
  { n, group, headDim, keys, values }: CapturedHead,
  precision: Precision,
  encodings: ReturnType<typeof policyEncodings>,
): Promise<Attention> {
  const shape = { layers: 1, keyValueHeads: 1, heads: group, headDim, capacity: n, threads: 1 };
  const attention = await createAttention({ ...shape, precision, encodings });
  attention.cache.reserve(n);
  attention.cache.write(0, 0, keys, values);
  attention.cache.commit(n);
  return attention;
}

function measurePolicy(
  head: CapturedHead,
  steps: readonly CachedStep[],
  { kept, half, single }: Record<'kept' | 'half' | 'single', Attention>,
  policy: PolicySpec,
): HeadMeasurement {
  const { group, headDim } = head;
  const measurement: HeadMeasurement = {
    head,
    errors: [],
    reported: [],
    tailMass: 0,
    keysExact: 0,
    keysQuantized: 0,
    bytesPerKey: 0,
    certified: true,
    violations: new Array(group).fill(0),
    speedups: { f32: [], f16: [] },
    certificateFallbacks: 0,
    fullAttention: 0,
    certifiedWithoutExtension: 0,
    oracleKeys: 0,
  };
  const dense: PolicySpec = { policy: 'dense' };
  for (const { position, queries, truth, cachedTruth } of steps) {
    const request = { layer: 0, position, queries };
    const { outputs, report } = kept.attend({ ...request, policy });
    const errorsTo = (rows: readonly AttentionRow[]) =>
      rows.map(({ output }, row) => relativeError(outputs.subarray(row * headDim, (row + 1) * headDim), output));
    const errors = errorsTo(truth);
    measurement.errors.push(errors);
    measurement.reported.push(errors.map(() => report.outputError.sum / report.rows));
    measurement.certified &&= report.certificate === 'certified';
    for (const [row, error] of errorsTo(cachedTruth).entries()) {
      // Float32 comes on top, as in dense attention: 1e-4 is ten times what it has here.
      if (report.certificate === 'certified' && error > report.outputError.max + 1e-4)
        (measurement.violations[row] as number)++;
    }
    measurement.tailMass += report.tailMass.sum / report.rows / steps.length;
    measurement.keysExact += report.keysExact / report.rows / steps.length;
    measurement.keysQuantized += report.keysQuantized / report.rows / steps.length;
    measurement.bytesPerKey += report.bytesRead / (position + 1) / steps.length;
    measurement.certificateFallbacks += report.rowsCertificateFallback / report.rows / steps.length;
    measurement.fullAttention += report.rowsFull / report.rows / steps.length;
    if (policy.certify !== undefined) {
      const share = policy.certify;
      measurement.certifiedWithoutExtension +=
        (report.rows - report.rowsCertificateFallback - report.rowsFull) / report.rows / steps.length;
      measurement.oracleKeys += mean(cachedTruth.map((row) => minKeysForMass(row, share))) / steps.length;
    }
    for (let round = 0; round < ROUNDS; round++) {
      const time = timeMs(() => kept.attend({ ...request, policy }));
      measurement.speedups.f16.push(timeMs(() => half.attend({ ...request, policy: dense })) / time);
      measurement.speedups.f32.push(timeMs(() => single.attend({ ...request, policy: dense })) / time);
    }
  }
  return measurement;
}

function timeMs(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

function summarize(spec: PolicySpec, measured: readonly HeadMeasurement[]): PolicyResult {
  const { certify } = spec;
  const heads = measured.flatMap((measurement) =>
    Array.from({ length: measurement.head.group }, (_, row): HeadResult => {
      const errors = measurement.errors.map((step) => step[row] as number);
      const { tailMass, keysExact, keysQuantized, bytesPerKey } = measurement;
      const outputError = { mean: mean(errors), p95: quantile(errors, 0.95) };
      const violations = measurement.violations[row] as number;
      return {
        name: measurement.head.name,
        head: row,
        outputError,
        tailMass,
        keysExact,
        keysQuantized,
        bytesPerKey,
        violations,
      };
    }),
  );
  const errors = measured.flatMap((measurement) => measurement.errors.flat());
  const reported = measured.flatMap((measurement) => measurement.reported.flat());
  const meanOver = (pick: (measurement: HeadMeasurement) => number) => mean(measured.map(pick));
  const spread = (which: 'f32' | 'f16') => spreadOf(measured.flatMap((measurement) => measurement.speedups[which]));
  const square = (numbers: readonly number[]) => mean(numbers.map((x) => x * x));
  const first = measured[0] as HeadMeasurement;
  return {
    policy: spec.policy,
    budget: createPolicy(spec).budget?.name ?? null,
    heads,
    summary: {
      outputError: { mean: mean(errors), p95: quantile(errors, 0.95) },
      keysExact: meanOver(({ keysExact }) => keysExact),
      keysQuantized: meanOver(({ keysQuantized }) => keysQuantized),
      bytesPerKey: meanOver(({ bytesPerKey }) => bytesPerKey),
      denseBytesPerKey: 4 * first.head.headDim,
      violations: heads.reduce((sum, { violations }) => sum + violations, 0),
      speedup: { f32: spread('f32'), f16: spread('f16') },
      calibration: measured.every(({ certified }) => certified)
        ? null
        : {
            ratio: Math.sqrt(square(errors) / square(reported)),
            withinTwice: mean(errors.map((error, i) => (error <= 2 * (reported[i] as number) ? 1 : 0))),
          },
      certificateFallbacks: meanOver(({ certificateFallbacks }) => certificateFallbacks),
      fullAttention: meanOver((measurement) => measurement.fullAttention),
      certify:
        certify === undefined
          ? null
          : {
              share: certify,
              certifiedWithoutExtension: meanOver(({ certifiedWithoutExtension }) => certifiedWithoutExtension),
              keysExact: meanOver(({ keysExact }) => keysExact),
              oracleKeys: meanOver(({ oracleKeys }) => oracleKeys),
              ratio: meanOver(({ keysExact }) => keysExact) / meanOver(({ oracleKeys }) => oracleKeys),
              looseness: loosenessOf(reported, errors),
            },
    },
  };
}

function loosenessOf(bounds: readonly number[], errors: readonly number[]): number | null {
  // Below this an error is the rounding of float32.
  const ratios = errors.flatMap((error, i) => (error > 1e-5 ? [(bounds[i] as number) / error] : []));
  return ratios.length === 0 ? null : quantile(ratios, 0.5);
}

/** Full attention over caches of 8 and of 4 bits, simulated in float64: keys and values with one step size a row. */
export function benchQuantizedCaches(
  options: Pick<BenchAttentionOptions, 'heads' | 'lastQueries' | 'stride'>,
): QuantizedResult[] {
  return [8, 4].map((bits) => {
    const errors = options.heads.flatMap((head) => {
      const [keys, values] = [head.keys, head.values].map((rows) => quantizeRows(rows, head.headDim, bits));
      return stepsOf(head, options).flatMap(({ position, queries, truth }) =>
        truth.map(({ output }, row) => {
          const query = queries.subarray(row * head.headDim, (row + 1) * head.headDim);
          const attended = attendRow(query, keys as Float32Array, values as Float32Array, position + 1);
          return relativeError(attended.output, output);
        }),
      );
    });
    const { headDim } = options.heads[0] as CapturedHead;
    // Each row has a step size of two bytes.
    return { name: `dense, ${bits} bits`, bytesPerKey: (2 * headDim * bits) / 8 + 4, outputError: mean(errors) };
  });
}
