/**
 * Policies over captured heads: the error of what they return, against float64, what they read, whether their
 * certificates hold, and their time against dense attention in the same run.
 */
import { type Attention, createAttention, type PolicySpec, type Precision, policyPlanes } from 'keysieve';
import type { CapturedHead } from '../captures/capture.ts';
import { mean, quantile } from '../eval/divergence.ts';
import { type DenseRow, denseRow, oracleKeys, quantised, relativeError } from './dense64.ts';
import { type Spread, spreadOf } from './spread.ts';

export interface HeadResult {
  /** Of the key-value head, and the number of the query head in its group. */
  name: string;
  head: number;
  outputError: { mean: number; p95: number };
  /** Mean, as the reports have it: a bound or an estimate of the share that was not read exactly. */
  tailMass: number;
  keysRead: number;
  keysCoded: number;
  /** Bytes read for each key of the context, by all query heads of the group together. */
  bytesPerKey: number;
  /** Rows whose certified bound on the output error was below the error, in float64, against the cache's contents. */
  violations: number;
}

export interface PolicyResult {
  policy: string;
  budget: string | null;
  heads: HeadResult[];
  summary: {
    outputError: { mean: number; p95: number };
    keysRead: number;
    keysCoded: number;
    bytesPerKey: number;
    denseBytesPerKey: number;
    violations: number;
    /** Dense time over the policy's, one thread, query by query in turn. */
    speedup: { f32: Spread; f16: Spread };
    /** Of estimated errors: root mean square of the true ones over that of the estimates; share within twice. */
    calibration: { ratio: number; withinTwice: number } | null;
    /** Rows that read more keys for the sake of a certificate, and rows that were dense. */
    extended: number;
    dense: number;
    certify: CertifyResult | null;
  };
}

/** What it took to certify that at most a share of the softmax stays unread. */
export interface CertifyResult {
  share: number;
  /** Share of the rows whose policy's own choice was enough. */
  heldAtOnce: number;
  /** Keys that a row read exactly at last, and those that an oracle needs for the same, in float64. */
  keysRead: number;
  oracleKeys: number;
  ratio: number;
  /** Median of the certified bound on the output error over the error: how loose it is; null where no row has an error. */
  looseness: number | null;
}

/** A cache of fewer bits, read whole: a point to compare policies with. */
export interface QuantisedResult {
  name: string;
  bytesPerKey: number;
  outputError: number;
}

export interface BenchOptions {
  heads: readonly CapturedHead[];
  policies: readonly PolicySpec[];
  /** Queries of each head, from the last one back, and every how many-th of them. */
  last: number;
  every: number;
  /** How the policies' cache keeps keys and values. Default: `f16`. */
  precision?: Precision;
  signal: AbortSignal;
  onProgress(what: string, done: number, total: number): void;
}

/** Repetitions of every timing; the median counts. */
const ROUNDS = 5;

/** Measures every policy on every head. */
export async function benchAttention(options: BenchOptions): Promise<PolicyResult[]> {
  const { heads, policies, onProgress } = options;
  const collected = policies.map((): HeadMeasurement[] => []);
  for (const [at, head] of heads.entries()) {
    const steps = stepsOf(head, options);
    const measured = await measureHead(head, steps, options, (done) => {
      onProgress(head.name, at * policies.length + done, heads.length * policies.length);
    });
    for (const [i, measurement] of measured.entries()) collected[i]?.push(measurement);
  }
  return policies.map((spec, i) => summarise(spec, collected[i] as HeadMeasurement[]));
}

/** The truth of every row at the queries that are measured. */
interface Step {
  position: number;
  /** (group, d) */
  queries: Float32Array;
  truth: DenseRow[];
}

/** The same, and what dense attention over the contents of the policies' cache gives: what certificates speak of. */
interface HeldStep extends Step {
  held: DenseRow[];
}

function stepsOf(head: CapturedHead, { last, every }: Pick<BenchOptions, 'last' | 'every'>): Step[] {
  const { n, group, headDim, queries } = head;
  const steps: Step[] = [];
  for (let i = head.last - 1; i >= Math.max(0, head.last - last); i -= every) {
    const position = n - head.last + i;
    const rows = new Float32Array(group * headDim);
    for (let row = 0; row < group; row++) {
      const from = (row * head.last + i) * headDim;
      rows.set(queries.subarray(from, from + headDim), row * headDim);
    }
    const truth = Array.from({ length: group }, (_, row) =>
      denseRow(rows.subarray(row * headDim, (row + 1) * headDim), head.keys, head.values, position + 1),
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
  keysRead: number;
  keysCoded: number;
  bytesPerKey: number;
  certified: boolean;
  violations: number[];
  speedups: { f32: number[]; f16: number[] };
  extended: number;
  dense: number;
  heldAtOnce: number;
  oracleKeys: number;
}

async function measureHead(
  head: CapturedHead,
  found: readonly Step[],
  { policies, signal, precision = 'f16' }: BenchOptions,
  onDone: (policies: number) => void,
): Promise<HeadMeasurement[]> {
  const planes = [...new Set(policies.flatMap(policyPlanes))];
  await using kept = await filled(head, precision, planes);
  await using half = await filled(head, 'f16', []);
  await using single = await filled(head, 'f32', []);
  const steps = heldSteps(head, found, kept);
  const caches = { kept, half, single };
  const measured: HeadMeasurement[] = [];
  for (const policy of policies) {
    signal.throwIfAborted();
    measured.push(measurePolicy(head, steps, caches, policy));
    onDone(measured.length);
    // Lets an interrupt be heard.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return measured;
}

/** Adds the truth about what a cache holds; in float16 that is what was captured. */
function heldSteps(head: CapturedHead, steps: readonly Step[], { cache }: Attention): HeldStep[] {
  if (cache.shape.precision !== 'int8') return steps.map((step) => ({ ...step, held: step.truth }));
  const [keys, values] = (['keys', 'values'] as const).map((what) => cache.read(0, 0, what, 0, cache.length));
  const { headDim } = head;
  return steps.map((step) => {
    const held = step.truth.map((_, row) => {
      const query = step.queries.subarray(row * headDim, (row + 1) * headDim);
      return denseRow(query, keys as Float32Array, values as Float32Array, step.position + 1);
    });
    return { ...step, held };
  });
}

async function filled(
  { n, group, headDim, keys, values }: CapturedHead,
  precision: Precision,
  planes: ReturnType<typeof policyPlanes>,
): Promise<Attention> {
  const shape = { layers: 1, keyValueHeads: 1, heads: group, headDim, capacity: n, threads: 1 };
  const attention = await createAttention({ ...shape, precision, planes });
  attention.cache.reserve(n);
  attention.cache.write(0, 0, keys, values);
  attention.cache.commit(n);
  return attention;
}

function measurePolicy(
  head: CapturedHead,
  steps: readonly HeldStep[],
  { kept, half, single }: Record<'kept' | 'half' | 'single', Attention>,
  policy: PolicySpec,
): HeadMeasurement {
  const { group, headDim } = head;
  const found: HeadMeasurement = {
    ...{ head, errors: [], reported: [], tailMass: 0, keysRead: 0, keysCoded: 0, bytesPerKey: 0, certified: true },
    ...{ violations: new Array(group).fill(0), speedups: { f32: [], f16: [] }, extended: 0, dense: 0 },
    ...{ heldAtOnce: 0, oracleKeys: 0 },
  };
  const dense: PolicySpec = { policy: 'dense' };
  for (const { position, queries, truth, held } of steps) {
    const request = { layer: 0, position, queries };
    const { outputs, report } = kept.attend({ ...request, policy });
    const errorsTo = (rows: readonly DenseRow[]) =>
      rows.map(({ output }, row) => relativeError(outputs.subarray(row * headDim, (row + 1) * headDim), output));
    const errors = errorsTo(truth);
    found.errors.push(errors);
    found.reported.push(errors.map(() => report.outputError.sum / report.rows));
    found.certified &&= report.certificate === 'certified';
    for (const [row, error] of errorsTo(held).entries()) {
      // Float32 comes on top, as in dense attention: 1e-4 is ten times what it has here.
      if (report.certificate === 'certified' && error > report.outputError.max + 1e-4)
        (found.violations[row] as number)++;
    }
    found.tailMass += report.tailMass.sum / report.rows / steps.length;
    found.keysRead += report.keysRead / report.rows / steps.length;
    found.keysCoded += report.keysCoded / report.rows / steps.length;
    found.bytesPerKey += report.bytesRead / (position + 1) / steps.length;
    found.extended += report.rowsExtended / report.rows / steps.length;
    found.dense += report.rowsDense / report.rows / steps.length;
    if (policy.certify !== undefined) {
      const share = policy.certify;
      found.heldAtOnce += 1 / steps.length - report.readOn.rows / report.rows / steps.length;
      found.oracleKeys += mean(held.map((row) => oracleKeys(row, share))) / steps.length;
    }
    for (let round = 0; round < ROUNDS; round++) {
      const time = timed(() => kept.attend({ ...request, policy }));
      found.speedups.f16.push(timed(() => half.attend({ ...request, policy: dense })) / time);
      found.speedups.f32.push(timed(() => single.attend({ ...request, policy: dense })) / time);
    }
  }
  return found;
}

function timed(work: () => void): number {
  const started = performance.now();
  work();
  return performance.now() - started;
}

function summarise({ policy, budget, certify }: PolicySpec, measured: readonly HeadMeasurement[]): PolicyResult {
  const heads = measured.flatMap((found) =>
    Array.from({ length: found.head.group }, (_, row): HeadResult => {
      const errors = found.errors.map((step) => step[row] as number);
      const { tailMass, keysRead, keysCoded, bytesPerKey } = found;
      const outputError = { mean: mean(errors), p95: quantile(errors, 0.95) };
      const violations = found.violations[row] as number;
      return { name: found.head.name, head: row, outputError, tailMass, keysRead, keysCoded, bytesPerKey, violations };
    }),
  );
  const errors = measured.flatMap((found) => found.errors.flat());
  const reported = measured.flatMap((found) => found.reported.flat());
  const of = (pick: (found: HeadMeasurement) => number) => mean(measured.map(pick));
  const spread = (which: 'f32' | 'f16') => spreadOf(measured.flatMap((found) => found.speedups[which]));
  const square = (numbers: readonly number[]) => mean(numbers.map((x) => x * x));
  const first = measured[0] as HeadMeasurement;
  return {
    policy,
    budget: policy === 'dense' ? null : (budget ?? null),
    heads,
    summary: {
      outputError: { mean: mean(errors), p95: quantile(errors, 0.95) },
      keysRead: of(({ keysRead }) => keysRead),
      keysCoded: of(({ keysCoded }) => keysCoded),
      bytesPerKey: of(({ bytesPerKey }) => bytesPerKey),
      denseBytesPerKey: 4 * first.head.headDim,
      violations: heads.reduce((sum, { violations }) => sum + violations, 0),
      speedup: { f32: spread('f32'), f16: spread('f16') },
      calibration: measured.every(({ certified }) => certified)
        ? null
        : {
            ratio: Math.sqrt(square(errors) / square(reported)),
            withinTwice: mean(errors.map((error, i) => (error <= 2 * (reported[i] as number) ? 1 : 0))),
          },
      extended: of(({ extended }) => extended),
      dense: of((found) => found.dense),
      certify:
        certify === undefined
          ? null
          : {
              share: certify,
              heldAtOnce: of(({ heldAtOnce }) => heldAtOnce),
              keysRead: of(({ keysRead }) => keysRead),
              oracleKeys: of(({ oracleKeys }) => oracleKeys),
              ratio: of(({ keysRead }) => keysRead) / of(({ oracleKeys }) => oracleKeys),
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

/** Dense attention over caches of 8 and of 4 bits, simulated in float64: keys and values with one step a row. */
export function benchQuantised(options: Pick<BenchOptions, 'heads' | 'last' | 'every'>): QuantisedResult[] {
  return [8, 4].map((bits) => {
    const errors = options.heads.flatMap((head) => {
      const [keys, values] = [head.keys, head.values].map((rows) => quantised(rows, head.headDim, bits));
      return stepsOf(head, options).flatMap(({ position, queries, truth }) =>
        truth.map(({ output }, row) => {
          const query = queries.subarray(row * head.headDim, (row + 1) * head.headDim);
          const found = denseRow(query, keys as Float32Array, values as Float32Array, position + 1);
          return relativeError(found.output, output);
        }),
      );
    });
    const { headDim } = options.heads[0] as CapturedHead;
    // And a step of two bytes for each row.
    return { name: `dense, ${bits} bits`, bytesPerKey: (2 * headDim * bits) / 8 + 4, outputError: mean(errors) };
  });
}
