/**
 * The front of the attention: a cache, the policies that read it, and the threads that do the work. Whoever runs the
 * rest of a model calls `cache.reserve`, then for each layer `cache.write` and `attend`, then `cache.commit`.
 */
import { KvCache, type KvCacheOptions } from '../cache/kv-cache.ts';
import { checkPositiveInteger, checkShape } from '../cache/shape.ts';
import { MAX_REGIONS, type Region } from '../cache/slabs.ts';
import { invariant, KeysieveError } from '../errors.ts';
import { allocateWorkspace, type Workspace } from '../group/workspace.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import { stateBytes } from '../kernels/kernels.ts';
import { completeEncodings } from '../kernels/layout.ts';
import { createPolicy, type Policy, type PolicySpec, policyEncodings, type SparsePolicy } from '../policies/policy.ts';
import { policyModules } from '../policies/registry.ts';
import { BLOCK_ERROR_NUMBERS, HeadBudgetAllocator } from '../sieve/head-budget-allocator.ts';
import { createControlBuffer, MAX_JOB_TASKS, openControl } from '../threads/control.ts';
import { createThreadPool, type ThreadPool } from '../threads/pool.ts';
import { blockSizeOf, maxBlockQueries, maxJobQueries } from './block-size.ts';
import { EvictionRunner } from './eviction-runner.ts';
import { mergeRanges } from './full.ts';
import { type Job, type JobKind, maxJobNumbers, taskCount, writeJob } from './job.ts';
import { createJobBuffers, type JobBuffers } from './job-buffers.ts';
import { reportFull, reportRows } from './job-report.ts';
import { checkOutputs, checkQueries, checkRange, type LayerQueries } from './layer-queries.ts';
import { type QueryMeasurement, readMeasurement, recordLength } from './measure/sample.ts';
import { checkMeasureRequest, encodeMeasurePlan, type MeasureRequest } from './measure.ts';
import { type AttentionReport, addReport, emptyReport } from './report.ts';
import { ROW_RESULT_NUMBERS } from './row-result.ts';
import { mergeParts, planSplitJob } from './split-decode.ts';
import { fullAttentionIsFaster, type StepCosts } from './step-costs.ts';
import { runTask } from './tasks.ts';
import { loadGroup, openThread, type ThreadContext, type ThreadSetup } from './thread.ts';

export interface AttentionOptions extends Omit<KvCacheOptions, 'createKernels' | 'onRegion' | 'onTruncate'> {
  /** Query heads in a layer: a multiple of the key-value heads. */
  heads: number;
  /** Threads that work, the calling one included. Default: 1. More need shared memory. */
  threads?: number;
  /** Arithmetic: `wasm`, or the slow `reference`. Default: `wasm`. */
  kernels?: KernelsName;
  /**
   * What steps cost on this machine, from `measureStepCosts`: with them a query whose policy would take longer than
   * reading every key reads every key. Default: policies are done as they are asked for.
   */
  costs?: StepCosts;
}

export interface AttendRequest extends LayerQueries {
  policy: PolicySpec;
  /**
   * Whether consecutive queries may share what they read, as the queries of a prompt should: a selector that draws
   * samples then draws one for a block of them. Default: every query chooses for itself.
   */
  shareSamples?: boolean;
  /** Where the outputs are written, as many numbers as the queries are. Default: an array of their own. */
  outputs?: Float32Array;
}

export interface ObserveRequest extends LayerQueries {
  /** The policies that will be used; those that evict no keys look at nothing. */
  policySpecs: readonly PolicySpec[];
}

export interface AttendResult {
  /** (count, heads, headDim) */
  outputs: Float32Array;
  report: AttentionReport;
}

/** Whether tasks of this kind write a result for each row. */
const hasRowResults = (kind: JobKind): boolean => kind !== 'full-blocks' && kind !== 'full-ranges';

/** Kinds of jobs whose groups are done whole. */
type UnsplitJobKind = Exclude<JobKind, 'decode-split'>;

/** Queries that are worth a sample of their own. */
const MIN_QUERIES_TO_SHARE_SAMPLE = 16;

/** Makes an attention with an empty cache. Throws `invalid-argument`, `cache-out-of-memory` or `thread-failed`. */
export async function createAttention(options: AttentionOptions): Promise<Attention> {
  const { heads, threads = 1, keyValueHeads } = options;
  checkPositiveInteger('heads', heads);
  checkPositiveInteger('threads', threads);
  checkShape({ ...options, precision: options.precision ?? 'f16', encodings: options.encodings ?? [] });
  invariant(heads % keyValueHeads === 0, () => ({
    code: 'invalid-argument',
    problem: `The ${heads} query heads cannot be shared out over the key-value heads.`,
    found: keyValueHeads,
    remedy: 'Give a number of query heads that is a multiple of the number of key-value heads.',
  }));
  const shared = options.shared ?? typeof SharedArrayBuffer !== 'undefined';
  const control = createControlBuffer(shared, maxJobNumbers(keyValueHeads, MAX_REGIONS));
  const pool = await createThreadPool({ control: openControl(control), threads: shared ? threads : 1 });
  try {
    return new Attention({ ...options, shared }, control, pool);
  } catch (error) {
    await pool.dispose();
    throw error;
  }
}

export class Attention {
  readonly cache: KvCache;
  readonly heads: number;
  readonly #kernels: KernelsName;
  readonly #costs: StepCosts | undefined;
  readonly #pool: ThreadPool;
  readonly #control: ThreadSetup['control'];
  readonly #arguments: Float64Array;
  readonly #jobBuffers: JobBuffers;
  /** Of each region, of each thread. */
  readonly #workspaces = new WeakMap<Region, Workspace[]>();
  readonly #policySpecs: PolicySpec[] = [];
  /** The same, opened. */
  readonly #policies: Policy[] = [];
  readonly #evictionRunner: EvictionRunner;
  readonly #headBudgets: HeadBudgetAllocator;
  #context: ThreadContext | undefined;
  #jobs = 0;
  #configurationNumber = 0;
  #configuredRegions = 0;

  /** Use `createAttention`. */
  constructor(options: AttentionOptions & { shared: boolean }, control: ThreadSetup['control'], pool: ThreadPool) {
    const { heads, kernels = 'wasm', costs, ...cacheOptions } = options;
    this.heads = heads;
    this.#kernels = kernels;
    this.#costs = costs;
    this.#pool = pool;
    this.#control = control;
    this.#arguments = openControl(control).arguments;
    const createKernelsOn = (memory: WebAssembly.Memory, parameters: number) =>
      createKernels(kernels, memory, parameters);
    this.#jobBuffers = createJobBuffers(options.shared, createKernelsOn);
    this.cache = new KvCache({
      ...cacheOptions,
      createKernels: createKernelsOn,
      onRegion: (region) => this.#allocateWorkspaces(region, cacheOptions),
      onTruncate: (length) => {
        this.#evictionRunner.truncate(length);
        this.#headBudgets.truncate(length);
      },
    });
    const { shape } = this.cache;
    const groupSize = heads / shape.keyValueHeads;
    this.#headBudgets = new HeadBudgetAllocator(shape.layers, shape.keyValueHeads);
    this.#evictionRunner = new EvictionRunner({
      shape,
      heads,
      loadGroup: (layer, position, head, queries) => {
        const keys = { layer, segments: this.cache.segments(position + 1), norms: this.#norms(layer) };
        return loadGroup(this.#configuredContext(), keys, head, head * groupSize, position + 1, queries);
      },
    });
  }

  /** Threads that work, the calling one included. */
  get threads(): number {
    return this.#pool.threads;
  }

  /** Bytes that have been taken, those of the cache among them. */
  get bytes(): number {
    return this.cache.bytes + this.#jobBuffers.arena.usedBytes;
  }

  /**
   * Wakes the threads for a call of `attend` that will come in a moment, and so hides the time that this takes behind
   * `cache.write`. Calling it is never needed.
   */
  prewakeThreads(): void {
    this.#pool.prewake();
  }

  /**
   * Attention of one layer, by a policy. Throws `invalid-argument` where the request does not fit the cache,
   * `not-a-number` where a query is not finite or the result would leave float32, `cache-out-of-memory`, `disposed` and
   * `thread-failed`. The cache stays as it is.
   */
  attend(request: AttendRequest): AttendResult {
    const { layer, position, queries, policy, shareSamples = false } = request;
    checkQueries(request, this.cache, this.heads);
    const { outputs = new Float32Array(queries.length) } = request;
    checkOutputs(outputs, queries);
    const policyIndex = this.#policyIndex(policy);
    const policies = this.#policies[policyIndex] as Policy;
    if (policies.kind === 'evicting') {
      return { outputs, report: this.#evictionRunner.attend(policies, { layer, position, queries }, outputs) };
    }
    const kindOf = (count: number) => this.#jobKind(policies, count, shareSamples, layer, position);

    const width = this.heads * this.cache.shape.headDim;
    const report = emptyReport();
    const maxQueries = maxJobQueries(this.heads, this.cache.shape.keyValueHeads);
    for (let done = 0; done < queries.length / width; done += maxQueries) {
      const part = queries.subarray(done * width, (done + maxQueries) * width);
      const target = outputs.subarray(done * width, (done + maxQueries) * width);
      addReport(
        report,
        this.#attendPart(layer, position + done, part, policyIndex, kindOf(part.length / width), target),
      );
    }
    return { outputs, report };
  }

  /**
   * Shows the queries of a prompt to policies that evict keys by what it pays attention to: all of them, in order, after
   * their keys were written. What is shown is forgotten when the cache is cut. Throws as `attend` does.
   */
  observe({ policySpecs, ...request }: ObserveRequest): void {
    const evictions = policySpecs
      .map((spec) => this.#policies[this.#policyIndex(spec)] as Policy)
      .flatMap((policy) => (policy.kind === 'evicting' ? [policy.eviction] : []));
    if (evictions.length === 0) return;
    checkQueries(request, this.cache, this.heads);
    for (const eviction of new Map(evictions.map((each) => [each.name, each])).values()) {
      this.#evictionRunner.observe(eviction, request);
    }
  }

  /** Attention of as many queries as make one job. */
  #attendPart(
    layer: number,
    position: number,
    queries: Float32Array,
    policy: number,
    kind: UnsplitJobKind,
    outputs: Float32Array,
  ): AttentionReport {
    const { heads } = this;
    const { headDim } = this.cache.shape;
    const count = queries.length / (heads * headDim);
    const context = this.#configuredContext();
    const { partialBytes, ...taskPlan } = this.#planTasks(kind, { policy, layer, position, count });
    this.#jobBuffers.ensureCapacity({
      queries: queries.length * 4,
      outputs: queries.length * 4,
      partials: partialBytes,
      ...(hasRowResults(kind) && { results: count * heads * ROW_RESULT_NUMBERS * 4 }),
      ...(kind === 'prefill-blocks' && { blockErrors: MAX_JOB_TASKS * BLOCK_ERROR_NUMBERS * 4 }),
    });
    const { views } = this.#jobBuffers.arena;
    views().f32.set(queries, this.#jobBuffers.addresses.queries / 4);
    const blocks = kind === 'prefill-blocks';
    const headBudgets = blocks ? this.#headBudgets.allocate(layer) : [];
    const job = this.#runJob({
      ...taskPlan,
      layer,
      position,
      count,
      policy,
      budgetFactors: headBudgets,
      n: position + count,
    });
    if (job.kind === 'full-ranges') mergeRanges(context, job);
    if (job.kind === 'decode-split') mergeParts(context, job);
    if (blocks) {
      const tasks = taskCount(job, this.cache.shape.keyValueHeads);
      this.#headBudgets.update({ ...job, n: position + count }, tasks, views().f32, this.cache.length);
    }

    outputs.set(views().f32.subarray(job.outputs / 4, job.outputs / 4 + queries.length));
    if (!hasRowResults(kind)) return reportFull(job, this.cache.shape, heads);
    const results = job.results / 4;
    const rows = views().f32.subarray(results, results + count * heads * ROW_RESULT_NUMBERS);
    return reportRows(job, heads, rows);
  }

  /**
   * Measures what the heads of one layer need, for queries at any positions: how many keys, and with what errors. Throws
   * as `attend` does. Page means must be among the planes of the cache.
   */
  measure(request: MeasureRequest): QueryMeasurement[] {
    const { layer, positions, queries, outputs, plan } = request;
    this.cache.assertAlive();
    const { cache, heads } = this;
    checkMeasureRequest(request, cache, heads);
    const n = Math.max(...positions) + 1;
    checkRange(layer, n, queries, cache);
    const count = positions.length;
    const recordSize = recordLength(plan);
    const sizes = { heads, keyValueHeads: cache.shape.keyValueHeads, threads: this.threads, position: n - 1, count };
    const planNumbers = encodeMeasurePlan(plan, positions);
    this.#jobBuffers.ensureCapacity({
      queries: queries.length * 4,
      outputs: queries.length * 4,
      results: count * heads * recordSize * 4,
      measurePlan: planNumbers.length * 4,
    });
    const { addresses, arena } = this.#jobBuffers;
    const { f32 } = arena.views();
    f32.set(queries, addresses.queries / 4);
    f32.set(outputs, addresses.outputs / 4);
    f32.set(planNumbers, addresses.measurePlan / 4);
    const kind = 'measure';
    this.#runJob({
      kind,
      layer,
      position: n - 1,
      count,
      policy: 0,
      blockSize: blockSizeOf(kind, sizes),
      unsplitGroups: 0,
      budgetFactors: [],
      n,
    });
    const records = arena.views().f32.slice(addresses.results / 4, addresses.results / 4 + count * heads * recordSize);
    return Array.from({ length: count * heads }, (_, row) =>
      readMeasurement(records.subarray(row * recordSize, (row + 1) * recordSize), plan),
    );
  }

  /** Ends the threads and frees the cache. Disposing again does nothing. */
  async dispose(): Promise<void> {
    this.cache.dispose();
    this.#context = undefined;
    await this.#pool.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Has the threads do a job whose queries see at most n keys; the exchange has room for what it needs. */
  #runJob({
    n,
    ...rest
  }: Pick<Job, 'kind' | 'layer' | 'position' | 'count' | 'policy' | 'blockSize' | 'unsplitGroups' | 'budgetFactors'> & {
    n: number;
  }): Job {
    const { cache } = this;
    const { keyValueHeads } = cache.shape;
    const context = this.#configuredContext();
    const job: Job = {
      number: ++this.#jobs,
      ...rest,
      ...this.#jobBuffers.addresses,
      norms: this.#norms(rest.layer),
      segments: cache.segments(n),
      memoryBytes: [this.#jobBuffers, ...cache.regions].map(({ arena }) => arena.memory.buffer.byteLength),
    };
    writeJob(this.#arguments, job);
    this.#pool.run(this.#configurationNumber, taskCount(job, keyValueHeads), (task) => runTask(context, job, task));
    return job;
  }

  #policyIndex(spec: PolicySpec): number {
    const { policy, budget, plan, certify } = spec;
    const existing = this.#policySpecs.findIndex(
      (other) => other.policy === policy && other.budget === budget && other.plan === plan && other.certify === certify,
    );
    if (existing !== -1) return existing;
    const { layers } = this.cache.shape;
    invariant(plan === undefined || (plan.layers === layers && plan.heads === this.heads), () => ({
      code: 'invalid-argument',
      problem: 'The plan is that of another model.',
      found: `${plan?.layers} layers of ${plan?.heads} heads, where there are ${layers} of ${this.heads}`,
      remedy: 'Make one from a law of this model.',
    }));
    const missingEncodings = policyEncodings(spec).filter((plane) => !this.cache.shape.encodings.includes(plane));
    invariant(missingEncodings.length === 0, () => ({
      code: 'invalid-argument',
      problem: `The policy ${policy} reads planes that the cache does not keep.`,
      found: this.cache.shape.encodings.join(', ') || 'none but the exact one',
      remedy: `Create it with the planes ${missingEncodings.join(', ')}: see policyEncodings.`,
    }));
    this.#policySpecs.push({
      policy,
      ...(budget !== undefined && { budget }),
      ...(plan !== undefined && { plan }),
      ...(certify !== undefined && { certify }),
    });
    this.#policies.push(createPolicy(spec));
    this.#context = undefined;
    return this.#policySpecs.length - 1;
  }

  /** Norms of each key-value head: see `Job`. */
  #norms(layer: number): number[] {
    const norms: number[] = [];
    for (let head = 0; head < this.cache.shape.keyValueHeads; head++) {
      const { keys, values, rmsValue } = this.cache.norms(layer, head);
      norms.push(keys, values, rmsValue);
    }
    return norms;
  }

  /** How a job is cut into tasks, and the bytes of what must be added up when they are done. */
  #planTasks(
    kind: UnsplitJobKind,
    { policy: index, layer, position, count }: Pick<Job, 'policy' | 'layer' | 'position' | 'count'>,
  ): Pick<Job, 'kind' | 'blockSize' | 'unsplitGroups'> & { partialBytes: number } {
    const { heads, threads, cache } = this;
    const { keyValueHeads, headDim } = cache.shape;
    const n = position + count;
    if (kind === 'decode-groups' && count === 1 && threads > 1) {
      const context = this.#configuredContext();
      const splitPlan = planSplitJob(
        context,
        this.#policies[index] as SparsePolicy,
        { layer, n, threads },
        cache.segments(n),
      );
      if (splitPlan !== undefined) return splitPlan;
    }
    const blockSize = blockSizeOf(kind, { heads, keyValueHeads, threads, position, count });
    const ranges = kind === 'full-ranges' ? keyValueHeads * Math.ceil(n / blockSize) : 0;
    return { kind, blockSize, unsplitGroups: 0, partialBytes: ranges * stateBytes(heads / keyValueHeads, headDim) };
  }

  #jobKind(policy: Policy, count: number, shareSamples: boolean, layer: number, position: number): UnsplitJobKind {
    if (policy.kind === 'sparse' && !this.#fullAttentionIsFaster(policy, layer, position, count)) {
      return shareSamples && count >= MIN_QUERIES_TO_SHARE_SAMPLE && policy.selector.blockSampling
        ? 'prefill-blocks'
        : 'decode-groups';
    }
    return count === 1 && this.threads > 1 ? 'full-ranges' : 'full-blocks';
  }

  /**
   * Whether all heads of a layer are faster without the policy: then they are done together. The queries of a prompt are
   * asked where each of them is certified by itself; else blocks of them decide for themselves.
   */
  #fullAttentionIsFaster(policy: SparsePolicy, layer: number, position: number, count: number): boolean {
    if (this.#costs === undefined || (count > 1 && policy.certifier === undefined)) return false;
    const rows = this.heads / this.cache.shape.keyValueHeads;
    const n = position + count;
    for (let head = 0; head < this.heads; head += rows) {
      if (!fullAttentionIsFaster({ n, layer, head, rows }, policy, this.#costs)) return false;
    }
    return true;
  }

  #allocateWorkspaces(region: Region, options: Omit<KvCacheOptions, 'onRegion'>): void {
    const { headDim, capacity, keyValueHeads, precision = 'f16', encodings = [] } = options;
    const groupSize = this.heads / keyValueHeads;
    const sizes = { groupSize, headDim, capacity };
    const size = {
      ...sizes,
      rows: maxBlockQueries(groupSize) * groupSize,
      encodings: completeEncodings(encodings, precision),
    };
    const workspaces: Workspace[] = [];
    for (let i = 0; i < this.threads; i++) {
      const workspace = allocateWorkspace(region.arena, size);
      if (workspace === undefined) throw outOfMemory();
      workspaces.push(workspace);
    }
    this.#workspaces.set(region, workspaces);
  }

  /** The calling thread's context, once all threads know of every region and policy. */
  #configuredContext(): ThreadContext {
    const { regions } = this.cache;
    if (this.#context !== undefined && this.#configuredRegions === regions.length) return this.#context;
    this.#configurationNumber++;
    this.#configuredRegions = regions.length;
    const setupOf = (context: number): ThreadSetup => ({
      configuration: this.#configurationNumber,
      control: this.#control,
      shape: this.cache.shape,
      heads: this.heads,
      kernels: this.#kernels,
      jobMemory: this.#jobBuffers.arena.memory,
      regions: regions.map((region) => {
        const { arena, table, openTable } = region;
        return {
          memory: arena.memory,
          table,
          openTable,
          workspace: this.#workspaces.get(region)?.[context] as Workspace,
        };
      }),
      policies: this.#policySpecs,
      policyModules: policyModules(),
      costs: this.#costs,
    });
    this.#pool.configure(this.#configurationNumber, setupOf);
    this.#context = openThread(setupOf(0), this.#context);
    return this.#context;
  }
}

function outOfMemory(): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: 'There is no memory for the buffers of the threads.',
    remedy: 'Use fewer threads, a smaller capacity, or raise arenaBytes.',
  });
}
