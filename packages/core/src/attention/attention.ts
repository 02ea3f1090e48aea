/**
 * The front of the attention: a cache, and the policies that read it, on an engine that others may share. It checks requests and reports what they read; how a
 * request is done is planned by `planner.ts`, and done by `runner.ts`. A caller that runs the rest of a model calls
 * `cache.reserve`, then for each layer `cache.write` and `attend`, then `cache.commit`.
 */
import { NEEDS_EVENT_LOOP } from '#attention-threads';
import { KvCache } from '../cache/kv-cache.ts';
import { invariant } from '../errors.ts';
import { checkOptionNames, type OptionNames } from '../option-names.ts';
import { createPolicy, type Policy, type PolicySpec } from '../policies/policy.ts';
import { BLOCK_ERROR_NUMBERS, HeadBudgetAllocator } from '../sieve/head-budget-allocator.ts';
import { maxJobQueries } from './block-size.ts';
import { type AttentionEngine, createAttentionEngine, type EngineOptions } from './engine.ts';
import { type EvictionContext, EvictionRunner } from './eviction-runner.ts';
import { reportFull, reportRows } from './job-report.ts';
import { checkOutputs, checkQueries, checkRange, checkRowErrors, type LayerQueries } from './layer-queries.ts';
import { type QueryMeasurement, readMeasurement, recordLength } from './measure/sample.ts';
import { checkMeasureRequest, encodeMeasurePlan, type MeasureRequest } from './measure.ts';
import { type AttentionShape, type PlannedPolicy, planAttention, planMeasurement } from './planner.ts';
import { type AttentionReport, emptyReport } from './report.ts';
import { ROW_RESULT_NUMBERS, readRowResult } from './row-result.ts';
import type { JobRequest, JobResults, JobRunner } from './runner.ts';
import { readsAllKeys } from './score-rule.ts';
import { loadGroup } from './thread.ts';
import { type AttentionTrace, noTimes, type PhaseTimes } from './trace.ts';

/** What an attention has of its own beside the others on its engine. */
export interface OwnOptions {
  /** Bytes at which the cache is full: see `CacheOptions`. Default: no limit but the machine's. */
  memoryLimit?: number | undefined;
  /** Called after every `attend` with where its time went, by an engine that is `timed`. Default: nothing is timed. */
  onTrace?: ((trace: AttentionTrace) => void) | undefined;
}

export interface AttentionOptions extends Omit<EngineOptions, 'timed'>, OwnOptions {}

export interface AttendRequest extends LayerQueries {
  /** As it is written, or as `createPolicy` has parsed it: then pass the same one every time. */
  policy: PolicySpec | Policy;
  /**
   * Whether consecutive queries may share what they read, as the queries of a prompt should: a selector that draws
   * samples then draws one for a block of them. Default: every query selects for itself.
   */
  shareSamples?: boolean | undefined;
  /**
   * Whether heads whose codes tell too little keep to the budget all the same, in place of reading every key: to measure what
   * budgets do. Default: false.
   */
  keepBudget?: boolean | undefined;
  /** Where the outputs are written: an array as long as the queries. Default: a new one. */
  outputs?: Float32Array | undefined;
  /**
   * Where the relative output error of each row is written, as the report has it on average: (count, heads). Infinite where
   * nothing is known. Default: nowhere.
   */
  rowErrors?: Float32Array | undefined;
}

export interface ObserveRequest extends LayerQueries {
  /** The policies that will be used. Those that evict no keys observe nothing. */
  policies: readonly (PolicySpec | Policy)[];
}

export interface AttendResult {
  /** (count, heads, headDim) */
  outputs: Float32Array;
  report: AttentionReport;
}

const ATTENTION_OPTIONS: OptionNames<AttentionOptions> = {
  layers: true,
  keyValueHeads: true,
  heads: true,
  headDim: true,
  capacity: true,
  precision: true,
  encodings: true,
  threads: true,
  memoryLimit: true,
  window: true,
  softCap: true,
  sinks: true,
  scanBases: true,
  deterministic: true,
  kernels: true,
  costs: true,
  arenaBytes: true,
  shared: true,
  onTrace: true,
};

/** Makes an attention with an empty cache. Throws `invalid-argument`, `cache-out-of-memory` or `thread-failed`. */
export async function createAttention(options: AttentionOptions): Promise<Attention> {
  checkOptionNames('an attention', options, ATTENTION_OPTIONS);
  const { memoryLimit, onTrace, ...shared } = options;
  const engine = await createAttentionEngine({ ...shared, timed: onTrace !== undefined });
  try {
    const attention = openAttention(engine, {
      ...(memoryLimit !== undefined && { memoryLimit }),
      ...(onTrace && { onTrace }),
    });
    if (NEEDS_EVENT_LOOP) await attention.configureThreads();
    return attention;
  } finally {
    await engine.release();
  }
}

/**
 * An attention with an empty cache, on an engine that it shares with others and holds until it is disposed of. Throws
 * `invalid-argument` or `cache-out-of-memory`.
 */
export function openAttention(engine: AttentionEngine, options: OwnOptions = {}): Attention {
  invariant(options.onTrace === undefined || engine.times !== undefined, () => ({
    code: 'invalid-argument',
    problem: 'The engine times no phases.',
    remedy: 'Create it with `timed`.',
  }));
  return new Attention(engine, options);
}

/** The queries of one job. */
interface JobRows extends LayerQueries {
  shareSamples: boolean;
  keepBudget: boolean;
  outputs: Float32Array;
  rowErrors?: Float32Array | undefined;
}

/** A job that is to be done. */
export interface PlannedJob {
  request: JobRequest;
  tasks: number;
  /** Takes what came of it. */
  finish(results: JobResults): void;
}

export class Attention {
  readonly cache: KvCache;
  readonly heads: number;
  readonly engine: AttentionEngine;
  readonly #options: OwnOptions;
  readonly #shape: AttentionShape;
  readonly #runner: JobRunner;
  readonly #evictionRunner: EvictionRunner;
  readonly #headBudgets: HeadBudgetAllocator;
  /** Policies that were given as they are written. */
  readonly #parsed: { spec: PolicySpec; policy: Policy }[];
  readonly #checked = new WeakSet<Policy>();
  readonly #times: PhaseTimes | undefined;
  #disposed = false;

  /** Use `createAttention` or `openAttention`. */
  constructor(engine: AttentionEngine, options: OwnOptions, parent?: Attention) {
    const { slabs, shape, runner, capacity, times } = engine;
    const { heads, keyValueHeads } = shape;
    const groupSize = heads / keyValueHeads;
    this.heads = heads;
    this.engine = engine;
    this.#options = options;
    // What evictions keep is kept by policy.
    this.#parsed = parent === undefined ? [] : [...parent.#parsed];
    this.#shape = shape;
    this.#runner = runner;
    this.#times = options.onTrace && times;
    this.#headBudgets = parent
      ? parent.#headBudgets.fork()
      : new HeadBudgetAllocator(slabs.shape.layers, keyValueHeads);
    const onTruncate = (length: number) => {
      this.#evictionRunner.truncate(length);
      this.#headBudgets.truncate(length);
    };
    const { memoryLimit } = options;
    const { window } = shape.rule;
    this.cache =
      parent?.cache.fork({ onTruncate }) ??
      new KvCache({ pool: slabs, capacity, window, onTruncate, ...(memoryLimit !== undefined && { memoryLimit }) });
    const context: EvictionContext = {
      shape: slabs.shape,
      heads,
      loadGroup: (layer, position, head, queries) => {
        const keys = { layer, segments: this.cache.segments(position + 1), norms: this.#norms(layer) };
        return loadGroup(runner.context(slabs.regions), keys, head, head * groupSize, position + 1, queries);
      },
      read: (layer, head, what, from, to) => this.cache.read(layer, head, what, from, to),
    };
    this.#evictionRunner = new EvictionRunner(context, parent === undefined ? undefined : parent.#evictionRunner);
    engine.retain();
  }

  /**
   * An attention over a fork of the cache, with what this one has learned so far, on the same threads and in the same
   * memory: see `KvCache.fork`. Throws as that does.
   */
  fork({ onTrace }: Pick<OwnOptions, 'onTrace'> = {}): Attention {
    const { onTrace: _, ...options } = this.#options;
    return new Attention(this.engine, { ...options, ...(onTrace && { onTrace }) }, this);
  }

  /**
   * What the heads have shown of themselves in the prompt so far (layers, keyValueHeads), which divides budgets over the
   * rest of it: with the pages of a cache, all that reading on depends on. NaN where a head has shown nothing.
   */
  get headErrors(): Float64Array {
    return this.#headBudgets.errors;
  }

  /** Goes on, with the keys that the cache holds now, as an attention whose heads have shown these errors. */
  restoreHeadErrors(errors: Float64Array): void {
    const { layers, keyValueHeads } = this.cache.shape;
    invariant(errors.length === layers * keyValueHeads, () => ({
      code: 'invalid-argument',
      problem: `There are ${keyValueHeads} key-value heads in each of ${layers} layers.`,
      found: `errors of ${errors.length} heads`,
      remedy: 'Give those of an attention of this shape.',
    }));
    this.#headBudgets.restore(errors, this.cache.length);
  }

  /** Threads that work, the calling one included. */
  get threads(): number {
    return this.#runner.threads;
  }

  /** Bytes of the cache, and of the buffers of the engine, which others may share. */
  get bytes(): number {
    return this.cache.bytes + this.engine.bufferBytes;
  }

  /** Hands the threads their memories; `createAttention` does it. */
  async configureThreads(): Promise<void> {
    await this.#runner.configure(this.cache.regions);
  }

  /**
   * Wakes the threads for calls of `attend` that are about to come, and so hides the time that this takes behind
   * `cache.write`. Where several attentions take turns, one call for all of them keeps the threads awake in between. Calling
   * it is never needed.
   */
  prewakeThreads(calls = 1): void {
    this.engine.prewakeThreads(calls);
  }

  /**
   * Attention of one layer, by a policy. Throws `invalid-argument` where the request does not fit the cache,
   * `not-a-number` where a query is not finite or the result would exceed float32, `cache-out-of-memory`, `disposed` and
   * `thread-failed`. The cache stays as it is.
   */
  attend(request: AttendRequest): AttendResult {
    const started = this.#times === undefined ? 0 : performance.now();
    if (this.#times !== undefined) Object.assign(this.#times, noTimes());
    const { layer, position, queries, outputs = new Float32Array(queries.length), rowErrors } = request;
    checkQueries(request, this.cache, this.heads);
    checkOutputs(outputs, queries);
    checkRowErrors(rowErrors, queries.length / this.#shape.headDim);
    // Policies that evict keys know nothing of their errors.
    rowErrors?.fill(Number.POSITIVE_INFINITY);
    const policy = this.#policy(request.policy);
    const report =
      policy.evicting === undefined || readsAllKeys(this.#shape.rule)
        ? this.#attend(request, policy, outputs)
        : this.#evictionRunner.attend(policy.evicting, { layer, position, queries }, outputs);
    if (this.#times !== undefined) this.#trace(request, policy, this.#times, performance.now() - started);
    return { outputs, report };
  }

  /**
   * Plans a request that one job does, so that it can be done beside those of others on the engine: `attendTogether` does.
   * Undefined where it takes several jobs, or an eviction, or where phases are timed. Throws as `attend`.
   */
  plan(request: AttendRequest): (PlannedJob & AttendResult) | undefined {
    const { queries, outputs = new Float32Array(queries.length), shareSamples = false, keepBudget = false } = request;
    if (this.#times !== undefined || queries.length > this.#maxJobNumbers()) return undefined;
    checkQueries(request, this.cache, this.heads);
    checkOutputs(outputs, queries);
    checkRowErrors(request.rowErrors, queries.length / this.#shape.headDim);
    const policy = this.#policy(request.policy);
    if (policy.evicting !== undefined && !readsAllKeys(this.#shape.rule)) return undefined;
    const report = emptyReport();
    return { ...this.#planJob({ ...request, shareSamples, keepBudget, outputs }, policy, report), outputs, report };
  }

  /**
   * Shows the queries of a prompt to policies that evict keys by what it pays attention to: all of them, in order, after
   * their keys were written. What was shown is forgotten when the cache is truncated. Throws as `attend` does.
   */
  observe({ policies, ...request }: ObserveRequest): void {
    const evicting = policies.map((policy) => this.#policy(policy).evicting).filter((parts) => parts !== undefined);
    if (evicting.length === 0 || readsAllKeys(this.#shape.rule)) return;
    checkQueries(request, this.cache, this.heads);
    this.#evictionRunner.observe(evicting, request);
  }

  /**
   * Measures what the heads of one layer need, for queries at any positions: how many keys, and with what errors. Throws
   * as `attend` does. Page means must be among the encodings of the cache.
   */
  measure(request: MeasureRequest): QueryMeasurement[] {
    const { layer, positions, queries, outputs, plan } = request;
    const { cache, heads } = this;
    cache.assertAlive();
    invariant(!readsAllKeys(this.#shape.rule), () => ({
      code: 'invalid-argument',
      problem: 'Layers with a window or a soft cap read all keys that they see: there is nothing to measure.',
      found: `layer ${layer}`,
      remedy: 'Measure the other layers.',
    }));
    checkMeasureRequest(request, cache, heads);
    const n = Math.max(...positions) + 1;
    checkRange(layer, n, queries, cache);
    const count = positions.length;
    const recordSize = recordLength(plan);
    const order = {
      ...planMeasurement(this.#shape, { layer, position: n - 1, count }),
      ...this.#queriesOf(layer, n - 1, count, n),
      policy: 0,
      keepsBudget: 0,
      budgetFactors: [],
    };
    const measurePlan = encodeMeasurePlan(plan, positions);
    const resultNumbers = count * heads * recordSize;
    const { results } = this.#runner.run(order, { queries, outputs, measurePlan, resultNumbers }, cache.regions);
    const records = results.slice(0, resultNumbers);
    return Array.from({ length: count * heads }, (_, row) =>
      readMeasurement(records.subarray(row * recordSize, (row + 1) * recordSize), plan),
    );
  }

  /** Frees the cache, and ends the threads where nobody else uses them. Disposing again does nothing. */
  async dispose(): Promise<void> {
    this.cache.dispose();
    if (this.#disposed) return;
    this.#disposed = true;
    await this.engine.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Attends in jobs of at most as many queries as one can take. */
  #attend(
    { layer, position, queries, shareSamples = false, keepBudget = false, rowErrors }: AttendRequest,
    policy: Policy,
    outputs: Float32Array,
  ): AttentionReport {
    const width = this.heads * this.#shape.headDim;
    const jobNumbers = this.#maxJobNumbers();
    const report = emptyReport();
    for (let done = 0; done < queries.length; done += jobNumbers) {
      const end = Math.min(queries.length, done + jobNumbers);
      const { headDim } = this.#shape;
      const rows = {
        queries: queries.subarray(done, end),
        outputs: outputs.subarray(done, end),
        rowErrors: rowErrors?.subarray(done / headDim, end / headDim),
      };
      this.#attendJob({ layer, position: position + done / width, shareSamples, keepBudget, ...rows }, policy, report);
    }
    return report;
  }

  #attendJob(queries: JobRows, policy: Policy, report: AttentionReport): void {
    const planned = this.#planJob(queries, policy, report);
    const [results] = this.#runner.runAll([planned.request], this.cache.regions);
    planned.finish(results as JobResults);
  }

  /** Plans a job; `finish` adds what it read to a report. */
  #planJob(
    { layer, position, shareSamples, keepBudget, queries, outputs, rowErrors }: JobRows,
    policy: Policy,
    report: AttentionReport,
  ): PlannedJob {
    const { cache, heads } = this;
    const count = queries.length / (heads * this.#shape.headDim);
    const index = this.engine.policyNumber(policy);
    const thread = this.#runner.context(cache.regions);
    const planned = thread.policies[index] as PlannedPolicy;
    const about = { ...this.#queriesOf(layer, position, count, position + count), keepsBudget: keepBudget ? 1 : 0 };
    const mayReadMore = (keyValueHead: number) => {
      const width = thread.groupSize * this.#shape.headDim;
      const group = queries.subarray(keyValueHead * width, (keyValueHead + 1) * width);
      const head = keyValueHead * thread.groupSize;
      const work = () => loadGroup(thread, about, keyValueHead, head, position + 1, group);
      return !keepBudget && planned.sparse?.selector.doubt?.holds(work()) === true;
    };
    const plannedQueries = { layer, position, count, shareSamples, mayReadMore };
    const plan = planAttention(this.#shape, planned, plannedQueries, about.segments);
    const samplesBlocks = plan.kind === 'prefill-blocks';
    const budgetFactors = samplesBlocks ? this.#headBudgets.allocate(layer) : [];
    const order = { ...plan, ...about, policy: index, budgetFactors };
    const tasks = this.#runner.taskCount(order);
    const arrays = {
      queries,
      outputs,
      resultNumbers: count * heads * ROW_RESULT_NUMBERS,
      blockErrorNumbers: samplesBlocks ? tasks * BLOCK_ERROR_NUMBERS : 0,
      partialBytes: plan.partialBytes,
    };
    return {
      request: { order, arrays },
      tasks,
      finish: ({ results, blockErrors }) => {
        if (samplesBlocks) {
          const blocks = { layer, n: position + count, blockErrors: 0, budgetFactors };
          this.#headBudgets.update(blocks, tasks, blockErrors, cache.length);
        }
        if (plan.isFull) reportFull(report, order, cache.shape, heads, this.#shape.rule);
        else reportRows(report, order, heads, results);
        rowErrors?.forEach((_, row) => {
          rowErrors[row] = plan.isFull ? 0 : readRowResult(results, row).outputError;
        });
      },
    };
  }

  /** Numbers of the queries of a job, at most. */
  #maxJobNumbers(): number {
    return maxJobQueries(this.heads, this.#shape.keyValueHeads) * this.heads * this.#shape.headDim;
  }

  #queriesOf(layer: number, position: number, count: number, n: number) {
    return { layer, position, count, norms: this.#norms(layer), segments: this.cache.segments(n) };
  }

  /** The policy, parsed, and checked against the cache. */
  #policy(policy: PolicySpec | Policy): Policy {
    const parsed = isParsed(policy) ? policy : this.#parse(policy);
    if (!this.#checked.has(parsed)) this.#checkPolicy(parsed);
    this.#checked.add(parsed);
    return parsed;
  }

  #parse(spec: PolicySpec): Policy {
    const { policy: name, budget, plan, certify } = spec;
    const existing = this.#parsed.find(
      ({ spec: other }) =>
        other.policy === name && other.budget === budget && other.plan === plan && other.certify === certify,
    );
    if (existing !== undefined) return existing.policy;
    const policy = createPolicy(spec);
    this.#parsed.push({ spec: { ...spec }, policy });
    return policy;
  }

  /** Throws `invalid-argument` where a policy is for another model, or reads encodings that the cache does not keep. */
  #checkPolicy({ name, parsed, encodings }: Policy): void {
    // Neither matters where every key is read.
    if (readsAllKeys(this.#shape.rule)) return;
    const { layers, encodings: kept } = this.cache.shape;
    const plan = 'plan' in parsed.budget ? parsed.budget.plan : undefined;
    invariant(plan === undefined || (plan.layers === layers && plan.heads === this.heads), () => ({
      code: 'invalid-argument',
      problem: 'The plan is that of another model.',
      found: `${plan?.layers} layers of ${plan?.heads} heads, where there are ${layers} of ${this.heads}`,
      remedy: 'Make one from a law of this model.',
    }));
    const missing = encodings.filter((encoding) => !kept.includes(encoding));
    invariant(missing.length === 0, () => ({
      code: 'invalid-argument',
      problem: `The policy ${name} reads encodings that the cache does not keep.`,
      found: kept.join(', ') || 'none but the exact rows',
      remedy: `Create it with the encodings ${missing.join(', ')}: see policyEncodings.`,
    }));
  }

  /** See `JobQueries`. */
  #norms(layer: number): number[] {
    const norms: number[] = [];
    for (let head = 0; head < this.#shape.keyValueHeads; head++) {
      const { keys, values, rmsValue } = this.cache.norms(layer, head);
      norms.push(keys, values, rmsValue);
    }
    return norms;
  }

  /** Hands on what was timed in a call that took `total` milliseconds. */
  #trace({ layer, position, queries }: AttendRequest, policy: Policy, times: PhaseTimes, total: number): void {
    const milliseconds = { ...times };
    const timed = Object.values(times).reduce((sum, ms) => sum + ms, 0);
    milliseconds.other += total - timed;
    const count = queries.length / (this.heads * this.#shape.headDim);
    this.#options.onTrace?.({ layer, position, count, policy: policy.describe(), milliseconds });
  }
}

const isParsed = (policy: PolicySpec | Policy): policy is Policy => 'parsed' in policy;
