/**
 * The front of the attention: a cache, and the policies that read it. It checks requests and reports what they read; how a
 * request is done is planned by `planner.ts`, and done by `runner.ts`. A caller that runs the rest of a model calls
 * `cache.reserve`, then for each layer `cache.write` and `attend`, then `cache.commit`.
 */
import { KvCache, type KvCacheOptions } from '../cache/kv-cache.ts';
import { checkPositiveInteger, checkShape } from '../cache/shape.ts';
import { invariant } from '../errors.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import { completeEncodings } from '../kernels/layout.ts';
import { createPolicy, type Policy, type PolicySpec } from '../policies/policy.ts';
import type { StepCosts } from '../policies/step-costs.ts';
import { BLOCK_ERROR_NUMBERS, HeadBudgetAllocator } from '../sieve/head-budget-allocator.ts';
import type { JobThreads } from '../threads/pool.ts';
import { maxBlockQueries, maxJobQueries } from './block-size.ts';
import { EvictionRunner } from './eviction-runner.ts';
import { taskCount } from './job.ts';
import { reportFull, reportRows } from './job-report.ts';
import { checkOutputs, checkQueries, checkRange, type LayerQueries } from './layer-queries.ts';
import { type QueryMeasurement, readMeasurement, recordLength } from './measure/sample.ts';
import { checkMeasureRequest, encodeMeasurePlan, type MeasureRequest } from './measure.ts';
import { type AttentionShape, type PlannedPolicy, planAttention, planMeasurement } from './planner.ts';
import { type AttentionReport, emptyReport } from './report.ts';
import { ROW_RESULT_NUMBERS } from './row-result.ts';
import { JobRunner } from './runner.ts';
import { attentionThreads } from './spawn.ts';
import { loadGroup } from './thread.ts';
import { type AttentionTrace, noTimes, type PhaseTimes } from './trace.ts';

export interface AttentionOptions extends Omit<KvCacheOptions, 'createKernels' | 'onRegion' | 'onTruncate'> {
  /** Query heads in a layer: a multiple of the key-value heads. */
  heads: number;
  /** Threads that work, the calling one included. Default: 1. More need shared memory. */
  threads?: number;
  /** Arithmetic: `wasm`, or the slow `reference`. Default: `wasm`. */
  kernels?: KernelsName;
  /**
   * What steps cost on this machine, from `measureStepCosts`: with them a query reads every key where that is faster than
   * its policy. Default: policies are done as they are asked for.
   */
  costs?: StepCosts;
  /**
   * Called after every `attend` with where its time went. Timing takes the fused kernels apart, so that attention is
   * somewhat slower than without. Default: nothing is timed.
   */
  onTrace?: (trace: AttentionTrace) => void;
}

export interface AttendRequest extends LayerQueries {
  /** As it is written, or as `createPolicy` has parsed it: then pass the same one every time. */
  policy: PolicySpec | Policy;
  /**
   * Whether consecutive queries may share what they read, as the queries of a prompt should: a selector that draws
   * samples then draws one for a block of them. Default: every query selects for itself.
   */
  shareSamples?: boolean;
  /** Where the outputs are written: an array as long as the queries. Default: a new one. */
  outputs?: Float32Array;
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

/** Makes an attention with an empty cache. Throws `invalid-argument`, `cache-out-of-memory` or `thread-failed`. */
export async function createAttention(options: AttentionOptions): Promise<Attention> {
  const { heads, threads = 1, keyValueHeads } = options;
  checkPositiveInteger('heads', heads);
  checkPositiveInteger('threads', threads);
  checkShape({ ...options, precision: options.precision ?? 'f16', encodings: options.encodings ?? [] });
  invariant(heads % keyValueHeads === 0, () => ({
    code: 'invalid-argument',
    problem: `The ${heads} query heads must be a multiple of the key-value heads.`,
    found: keyValueHeads,
    remedy: 'Give a number of query heads that is a multiple of the number of key-value heads.',
  }));
  const shared = options.shared ?? typeof SharedArrayBuffer !== 'undefined';
  const jobThreads = await attentionThreads.join(shared ? threads : 1);
  try {
    return new Attention({ ...options, shared }, jobThreads);
  } catch (error) {
    await jobThreads.leave();
    throw error;
  }
}

export class Attention {
  readonly cache: KvCache;
  readonly heads: number;
  readonly #shape: AttentionShape;
  readonly #threads: JobThreads;
  readonly #runner: JobRunner;
  readonly #evictionRunner: EvictionRunner;
  readonly #headBudgets: HeadBudgetAllocator;
  /** The policies so far, with their numbers among those of the runner. */
  readonly #policies = new Map<Policy, number>();
  /** Policies that were given as they are written. */
  readonly #parsed: { spec: PolicySpec; policy: Policy }[] = [];
  readonly #onTrace: ((trace: AttentionTrace) => void) | undefined;
  readonly #times: PhaseTimes | undefined;

  /** Use `createAttention`. */
  constructor(options: AttentionOptions & { shared: boolean }, threads: JobThreads) {
    const { heads, kernels = 'wasm', costs, onTrace, ...cacheOptions } = options;
    const { headDim, capacity, keyValueHeads, layers, precision = 'f16', encodings = [], shared } = cacheOptions;
    const groupSize = heads / keyValueHeads;
    this.heads = heads;
    this.#threads = threads;
    this.#shape = { heads, keyValueHeads, headDim, precision, threads: threads.threads };
    this.#headBudgets = new HeadBudgetAllocator(layers, keyValueHeads);
    this.#onTrace = onTrace;
    this.#times = onTrace && noTimes();
    const completed = completeEncodings(encodings, precision);
    this.#runner = new JobRunner({
      shape: { layers, keyValueHeads, headDim, precision, encodings: completed },
      heads,
      workspaceSize: {
        rows: maxBlockQueries(groupSize) * groupSize,
        groupSize,
        headDim,
        capacity,
        encodings: completed,
      },
      kernels,
      shared,
      costs,
      threads,
      times: this.#times,
    });
    this.cache = new KvCache({
      ...cacheOptions,
      createKernels: (memory, parameters) => createKernels(kernels, memory, parameters),
      onRegion: (region) => this.#runner.addRegion(region),
      onTruncate: (length) => {
        this.#evictionRunner.truncate(length);
        this.#headBudgets.truncate(length);
      },
    });
    this.#evictionRunner = new EvictionRunner({
      shape: this.cache.shape,
      heads,
      loadGroup: (layer, position, head, queries) => {
        const keys = { layer, segments: this.cache.segments(position + 1), norms: this.#norms(layer) };
        const context = this.#runner.context(this.cache.regions);
        return loadGroup(context, keys, head, head * groupSize, position + 1, queries);
      },
    });
  }

  /** Threads that work, the calling one included. */
  get threads(): number {
    return this.#threads.threads;
  }

  /** Bytes that have been taken, those of the cache among them. */
  get bytes(): number {
    return this.cache.bytes + this.#runner.bytes;
  }

  /**
   * Wakes the threads for a call of `attend` that is about to come, and so hides the time that this takes behind
   * `cache.write`. Calling it is never needed.
   */
  prewakeThreads(): void {
    this.#threads.prewake();
  }

  /**
   * Attention of one layer, by a policy. Throws `invalid-argument` where the request does not fit the cache,
   * `not-a-number` where a query is not finite or the result would exceed float32, `cache-out-of-memory`, `disposed` and
   * `thread-failed`. The cache stays as it is.
   */
  attend(request: AttendRequest): AttendResult {
    const started = this.#times === undefined ? 0 : performance.now();
    if (this.#times !== undefined) Object.assign(this.#times, noTimes());
    const { layer, position, queries, outputs = new Float32Array(queries.length) } = request;
    checkQueries(request, this.cache, this.heads);
    checkOutputs(outputs, queries);
    const policy = this.#policy(request.policy);
    const report =
      policy.evicting === undefined
        ? this.#attend(request, policy, outputs)
        : this.#evictionRunner.attend(policy.evicting, { layer, position, queries }, outputs);
    if (this.#times !== undefined) this.#trace(request, policy, this.#times, performance.now() - started);
    return { outputs, report };
  }

  /**
   * Shows the queries of a prompt to policies that evict keys by what it pays attention to: all of them, in order, after
   * their keys were written. What was shown is forgotten when the cache is truncated. Throws as `attend` does.
   */
  observe({ policies, ...request }: ObserveRequest): void {
    const evictions = policies
      .map((policy) => this.#policy(policy).evicting?.eviction)
      .filter((eviction) => eviction !== undefined);
    if (evictions.length === 0) return;
    checkQueries(request, this.cache, this.heads);
    for (const eviction of new Map(evictions.map((each) => [each.name, each])).values()) {
      this.#evictionRunner.observe(eviction, request);
    }
  }

  /**
   * Measures what the heads of one layer need, for queries at any positions: how many keys, and with what errors. Throws
   * as `attend` does. Page means must be among the encodings of the cache.
   */
  measure(request: MeasureRequest): QueryMeasurement[] {
    const { layer, positions, queries, outputs, plan } = request;
    const { cache, heads } = this;
    cache.assertAlive();
    checkMeasureRequest(request, cache, heads);
    const n = Math.max(...positions) + 1;
    checkRange(layer, n, queries, cache);
    const count = positions.length;
    const recordSize = recordLength(plan);
    const order = {
      ...planMeasurement(this.#shape, { layer, position: n - 1, count }),
      ...this.#queriesOf(layer, n - 1, count, n),
      policy: 0,
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

  /** Ends the threads and frees the cache. Disposing again does nothing. */
  async dispose(): Promise<void> {
    this.cache.dispose();
    this.#runner.release();
    await this.#threads.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Attends in jobs of at most as many queries as one can take. */
  #attend(
    { layer, position, queries, shareSamples = false }: AttendRequest,
    policy: Policy,
    outputs: Float32Array,
  ): AttentionReport {
    const width = this.heads * this.#shape.headDim;
    const jobNumbers = maxJobQueries(this.heads, this.#shape.keyValueHeads) * width;
    const report = emptyReport();
    for (let done = 0; done < queries.length; done += jobNumbers) {
      const part = { layer, position: position + done / width, shareSamples };
      const end = Math.min(queries.length, done + jobNumbers);
      this.#attendJob(part, policy, queries.subarray(done, end), outputs.subarray(done, end), report);
    }
    return report;
  }

  #attendJob(
    { layer, position, shareSamples }: { layer: number; position: number; shareSamples: boolean },
    policy: Policy,
    queries: Float32Array,
    outputs: Float32Array,
    report: AttentionReport,
  ): void {
    const { cache, heads } = this;
    const count = queries.length / (heads * this.#shape.headDim);
    const index = this.#policies.get(policy) as number;
    const { regions } = cache;
    const planned = this.#runner.context(regions).policies[index] as PlannedPolicy;
    const about = this.#queriesOf(layer, position, count, position + count);
    const plan = planAttention(this.#shape, planned, { layer, position, count, shareSamples }, about.segments);
    const samplesBlocks = plan.kind === 'prefill-blocks';
    const budgetFactors = samplesBlocks ? this.#headBudgets.allocate(layer) : [];
    const order = { ...plan, ...about, policy: index, budgetFactors };
    const tasks = taskCount(plan, about, this.#shape.keyValueHeads);
    const { results, blockErrors } = this.#runner.run(
      order,
      {
        queries,
        outputs,
        resultNumbers: count * heads * ROW_RESULT_NUMBERS,
        blockErrorNumbers: samplesBlocks ? tasks * BLOCK_ERROR_NUMBERS : 0,
        partialBytes: plan.partialBytes,
      },
      regions,
    );
    if (samplesBlocks) {
      const blocks = { layer, n: position + count, blockErrors: 0, budgetFactors };
      this.#headBudgets.update(blocks, tasks, blockErrors, cache.length);
    }
    if (plan.isFull) reportFull(report, order, cache.shape, heads);
    else reportRows(report, order, heads, results);
  }

  #queriesOf(layer: number, position: number, count: number, n: number) {
    return { layer, position, count, norms: this.#norms(layer), segments: this.cache.segments(n) };
  }

  /** The policy, parsed, checked against the cache, and known to the threads. */
  #policy(policy: PolicySpec | Policy): Policy {
    const parsed = isParsed(policy) ? policy : this.#parse(policy);
    if (!this.#policies.has(parsed)) {
      this.#checkPolicy(parsed);
      this.#policies.set(parsed, this.#runner.addPolicy(parsed));
    }
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
    this.#onTrace?.({ layer, position, count, policy: policy.describe(), milliseconds });
  }
}

const isParsed = (policy: PolicySpec | Policy): policy is Policy => 'parsed' in policy;
