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
import { mean, quantile } from '../numerics/statistics.ts';
import { type WorkOptions, workOf, yieldToEventLoop } from '../work.ts';
import { type Speedup, type TimedHead, type TimedStep, timedHeads, timePolicies } from './attention-times.ts';
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
    /** Time of full attention over the policy's: see `attention-times.ts`. */
    speedup: Speedup;
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
  /**
   * Keys that rows read exactly over those that an oracle needs for the same share, in float64; null where all rows read
   * all keys.
   */
  ratio: number | null;
  /** Share of the rows that read all keys, which are not in the ratio. */
  fullAttention: number;
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
  const speedups = await timeHeads(options, signal);
  return policies.map((spec, i) => summarize(spec, collected[i] as HeadMeasurement[], speedups[i] as Speedup));
}

/** Times the policies on some of the heads. */
async function timeHeads(options: BenchAttentionOptions, signal: AbortSignal): Promise<Speedup[]> {
  const { heads, policies, precision = 'f16' } = options;
  const filled: TimedHead[] = [];
  try {
    for (const head of timedHeads(heads)) {
      filled.push({
        steps: queriesOf(head, options),
        kept: await createFilled(head, precision, encodingsOf(policies)),
        f16: await createFilled(head, 'f16', []),
        f32: await createFilled(head, 'f32', []),
      });
    }
    return await timePolicies(filled, policies, signal);
  } finally {
    for (const caches of filled) for (const each of ['kept', 'f16', 'f32'] as const) await caches[each].dispose();
  }
}

const encodingsOf = (policies: readonly PolicySpec[]) => [...new Set(policies.flatMap(policyEncodings))];

/** The truth of every row at the queries that are measured. */
interface Step extends TimedStep {
  truth: AttentionRow[];
}

/** A step with full attention over the contents of the policies' cache as well, which certificates are about. */
interface CachedStep extends Step {
  cachedTruth: AttentionRow[];
}

type QueryRange = Pick<BenchAttentionOptions, 'lastQueries' | 'stride'>;

function queriesOf(head: CapturedHead, { lastQueries = 128, stride = 1 }: QueryRange): TimedStep[] {
  const { n, group, headDim, queries } = head;
  const steps: TimedStep[] = [];
  for (let i = head.lastQueries - 1; i >= Math.max(0, head.lastQueries - lastQueries); i -= stride) {
    const rows = new Float32Array(group * headDim);
    for (let row = 0; row < group; row++) {
      const from = (row * head.lastQueries + i) * headDim;
      rows.set(queries.subarray(from, from + headDim), row * headDim);
    }
    steps.push({ position: n - head.lastQueries + i, queries: rows });
  }
  return steps;
}

const stepsOf = (head: CapturedHead, range: QueryRange): Step[] =>
  queriesOf(head, range).map(({ position, queries }) => {
    const truth = Array.from({ length: head.group }, (_, row) => {
      const query = queries.subarray(row * head.headDim, (row + 1) * head.headDim);
      return attendRow(query, head.keys, head.values, position + 1);
    });
    return { position, queries, truth };
  });

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
  certificateFallbacks: number;
  fullAttention: number;
  certifiedWithoutExtension: number;
  /** Summed over the steps without a row that read all keys. */
  readKeys: number;
  oracleKeys: number;
}

async function measureHead(
  head: CapturedHead,
  exactSteps: readonly Step[],
  { policies, precision = 'f16' }: BenchAttentionOptions,
  signal: AbortSignal,
  onDone: (policies: number) => void,
): Promise<HeadMeasurement[]> {
  await using policyCache = await createFilled(head, precision, encodingsOf(policies));
  const steps = withCachedTruth(head, exactSteps, policyCache);
  const measured: HeadMeasurement[] = [];
  for (const policy of policies) {
    await yieldToEventLoop(signal);
    measured.push(measurePolicy(head, steps, policyCache, policy));
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
  attention: Attention,
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
    certificateFallbacks: 0,
    fullAttention: 0,
    certifiedWithoutExtension: 0,
    readKeys: 0,
    oracleKeys: 0,
  };
  for (const { position, queries, truth, cachedTruth } of steps) {
    const request = { layer: 0, position, queries };
    const { outputs, report } = attention.attend({ ...request, policy });
    const errorsTo = (rows: readonly AttentionRow[]) =>
      rows.map(({ output }, row) => relativeError(outputs.subarray(row * headDim, (row + 1) * headDim), output));
    const errors = errorsTo(truth);
    measurement.errors.push(errors);
    measurement.reported.push(errors.map(() => report.outputError.sum / report.rows));
    measurement.certified &&= report.certificate === 'certified';
    for (const [row, error] of errorsTo(cachedTruth).entries()) {
      // A row that read every key has the rounding of full attention: 1e-4 is ten times what it has here.
      const bound = Math.max(report.outputError.max, report.rowsFull > 0 ? 1e-4 : 0);
      if (report.certificate === 'certified' && error > bound) (measurement.violations[row] as number)++;
    }
    measurement.tailMass += report.tailMass.sum / report.rows / steps.length;
    measurement.keysExact += report.keysExact / report.rows / steps.length;
    measurement.keysQuantized += report.keysQuantized / report.rows / steps.length;
    measurement.bytesPerKey += report.bytesRead / (position + 1) / steps.length;
    measurement.certificateFallbacks += report.rowsCertificateFallback / report.rows / steps.length;
    measurement.fullAttention += report.rowsFull / report.rows / steps.length;
    const share = shareOf(policy);
    if (share !== undefined) {
      measurement.certifiedWithoutExtension +=
        (report.rows - report.rowsCertificateFallback - report.rowsFull) / report.rows / steps.length;
      // Rows that read all keys did so to be faster, and say nothing of how well keys are found.
      if (report.rowsFull === 0) {
        measurement.readKeys += report.keysExact / report.rows;
        measurement.oracleKeys += mean(cachedTruth.map((row) => minKeysForMass(row, share)));
      }
    }
  }
  return measurement;
}

function summarize(spec: PolicySpec, measured: readonly HeadMeasurement[], speedup: Speedup): PolicyResult {
  const share = shareOf(spec);
  const sumOver = (pick: (measurement: HeadMeasurement) => number) =>
    measured.reduce((sum, each) => sum + pick(each), 0);
  const [readKeys, oracleKeys] = [sumOver((each) => each.readKeys), sumOver((each) => each.oracleKeys)];
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
      speedup,
      calibration: measured.every(({ certified }) => certified)
        ? null
        : {
            ratio: Math.sqrt(square(errors) / square(reported)),
            withinTwice: mean(errors.map((error, i) => (error <= 2 * (reported[i] as number) ? 1 : 0))),
          },
      certificateFallbacks: meanOver(({ certificateFallbacks }) => certificateFallbacks),
      fullAttention: meanOver((measurement) => measurement.fullAttention),
      certify:
        share === undefined
          ? null
          : {
              share,
              certifiedWithoutExtension: meanOver(({ certifiedWithoutExtension }) => certifiedWithoutExtension),
              ratio: oracleKeys === 0 ? null : readKeys / oracleKeys,
              fullAttention: meanOver(({ fullAttention }) => fullAttention),
              looseness: loosenessOf(reported, errors),
            },
    },
  };
}

/** The share of the softmax that a policy's rows are certified to leave unread at most, where it has one. */
const shareOf = (spec: PolicySpec): number | undefined => spec.certify ?? createPolicy(spec).budget?.tailMass;

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
