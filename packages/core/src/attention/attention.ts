/**
 * The front of the attention: a cache, the policies that read it, and the threads that do the work. Whoever runs the
 * rest of a model calls `cache.reserve`, then for each layer `cache.write` and `attend`, then `cache.commit`.
 */
import { KvCache, type KvCacheOptions } from '../cache/kv-cache.ts';
import { checkPositiveInteger, checkShape } from '../cache/shape.ts';
import { MOST_REGIONS, type Region } from '../cache/slabs.ts';
import { allocateWorkspace, type Workspace } from '../cache/workspace.ts';
import { invariant, KeysieveError } from '../errors.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import { stateBytes } from '../kernels/kernels.ts';
import { completePlanes } from '../kernels/layout.ts';
import { type QuerySample, readSample, recordLength } from '../law/sample.ts';
import { createPolicy, type Policy, type PolicySpec, policyPlanes, type SparsePolicy } from '../policies/policy.ts';
import { createControlBuffer, LARGEST_JOB, openControl } from '../threads/control.ts';
import { createThreadPool, type ThreadPool } from '../threads/pool.ts';
import { mergeRanges } from './dense.ts';
import { Evicting } from './evicting.ts';
import { createExchange, type Exchange } from './exchange.ts';
import { grainOf, largestBlock, mostQueries } from './grain.ts';
import { type Job, type JobKind, jobNumbers, taskCount, writeJob } from './job.ts';
import { reportDense, reportRows } from './job-report.ts';
import { checkOutputs, checkQueries, checkRange, type LayerQueries } from './layer-queries.ts';
import { type AttentionReport, addReport, emptyReport } from './report.ts';
import { ROW_RESULTS } from './row-result.ts';
import { checkSampleRequest, type SampleRequest, writePlan } from './sampling.ts';
import { BLOCK_SUMS, Shares } from './shares.ts';
import { cutGroups, mergeParts } from './sparse-parts.ts';
import { isGuarded, type StepCosts } from './step-costs.ts';
import { runTask } from './tasks.ts';
import { openThread, placeGroup, type ThreadContext, type ThreadSetup } from './thread.ts';

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
  sharing?: boolean;
  /** Where the outputs are written, as many numbers as the queries are. Default: an array of their own. */
  outputs?: Float32Array;
}

export interface ObserveRequest extends LayerQueries {
  /** The policies that will be used; those that evict no keys look at nothing. */
  policies: readonly PolicySpec[];
}

export interface AttendResult {
  /** (count, heads, headDim) */
  outputs: Float32Array;
  report: AttentionReport;
}

/** Kinds of jobs whose groups are done whole. */
type WholeKind = Exclude<JobKind, 'sparse-parts'>;

/** Queries that are worth a sample of their own. */
const SMALLEST_BLOCK = 16;

/** Makes an attention with an empty cache. Throws `invalid-argument`, `cache-out-of-memory` or `thread-failed`. */
export async function createAttention(options: AttentionOptions): Promise<Attention> {
  const { heads, threads = 1, keyValueHeads } = options;
  checkPositiveInteger('heads', heads);
  checkPositiveInteger('threads', threads);
  checkShape({ ...options, precision: options.precision ?? 'f16', planes: options.planes ?? [] });
  invariant(heads % keyValueHeads === 0, () => ({
    code: 'invalid-argument',
    problem: `The ${heads} query heads cannot be shared out over the key-value heads.`,
    found: keyValueHeads,
    remedy: 'Give a number of query heads that is a multiple of the number of key-value heads.',
  }));
  const shared = options.shared ?? typeof SharedArrayBuffer !== 'undefined';
  const control = createControlBuffer(shared, jobNumbers(keyValueHeads, MOST_REGIONS));
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
  readonly #exchange: Exchange;
  /** Of each region, of each thread. */
  readonly #workspaces = new WeakMap<Region, Workspace[]>();
  readonly #policies: PolicySpec[] = [];
  /** The same, opened. */
  readonly #opened: Policy[] = [];
  readonly #evicting: Evicting;
  readonly #shares: Shares;
  #thread: ThreadContext | undefined;
  #jobs = 0;
  #configuration = 0;
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
    const kernelsOn = (memory: WebAssembly.Memory) => createKernels(kernels, memory);
    this.#exchange = createExchange(options.shared, kernelsOn);
    this.cache = new KvCache({
      ...cacheOptions,
      createKernels: kernelsOn,
      onRegion: (region) => this.#allocateWorkspaces(region, cacheOptions),
      onTruncate: (length) => {
        this.#evicting.truncate(length);
        this.#shares.forget();
      },
    });
    const { shape } = this.cache;
    const group = heads / shape.keyValueHeads;
    this.#shares = new Shares(shape.layers, shape.keyValueHeads);
    this.#evicting = new Evicting({
      shape,
      heads,
      place: (layer, position, head, queries) => {
        const keys = { layer, segments: this.cache.segments(position + 1), norms: this.#norms(layer) };
        return placeGroup(this.#configured(), keys, head, head * group, position + 1, queries);
      },
    });
  }

  /** Threads that work, the calling one included. */
  get threads(): number {
    return this.#pool.threads;
  }

  /** Bytes that have been taken, those of the cache among them. */
  get bytes(): number {
    return this.cache.bytes + this.#exchange.arena.usedBytes;
  }

  /**
   * Wakes the threads for a call of `attend` that will come in a moment, and so hides the time that this takes behind
   * `cache.write`. Calling it is never needed.
   */
  announce(): void {
    this.#pool.announce();
  }

  /**
   * Attention of one layer, by a policy. Throws `invalid-argument` where the request does not fit the cache,
   * `not-a-number` where a query is not finite or the result would leave float32, `cache-out-of-memory`, `disposed` and
   * `thread-failed`. The cache stays as it is.
   */
  attend(request: AttendRequest): AttendResult {
    const { layer, position, queries, policy, sharing = false } = request;
    checkQueries(request, this.cache, this.heads);
    const { outputs = new Float32Array(queries.length) } = request;
    checkOutputs(outputs, queries);
    const policyIndex = this.#policyIndex(policy);
    const opened = this.#opened[policyIndex] as Policy;
    if (opened.kind === 'evicting') {
      return { outputs, report: this.#evicting.attend(opened, { layer, position, queries }, outputs) };
    }
    const kindOf = (count: number) => this.#jobKind(opened, count, sharing, layer, position);

    const width = this.heads * this.cache.shape.headDim;
    const report = emptyReport();
    const most = mostQueries(this.heads, this.cache.shape.keyValueHeads);
    for (let done = 0; done < queries.length / width; done += most) {
      const part = queries.subarray(done * width, (done + most) * width);
      const target = outputs.subarray(done * width, (done + most) * width);
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
  observe({ policies, ...request }: ObserveRequest): void {
    const evictions = policies
      .map((spec) => this.#opened[this.#policyIndex(spec)] as Policy)
      .flatMap((policy) => (policy.kind === 'evicting' ? [policy.eviction] : []));
    if (evictions.length === 0) return;
    checkQueries(request, this.cache, this.heads);
    for (const eviction of new Map(evictions.map((each) => [each.name, each])).values()) {
      this.#evicting.observe(eviction, request);
    }
  }

  /** Attention of as many queries as make one job. */
  #attendPart(
    layer: number,
    position: number,
    queries: Float32Array,
    policy: number,
    kind: WholeKind,
    outputs: Float32Array,
  ): AttentionReport {
    const { heads } = this;
    const { headDim } = this.cache.shape;
    const count = queries.length / (heads * headDim);
    const thread = this.#configured();
    const { partialBytes, ...cut } = this.#cutOf(kind, { policy, layer, position, count });
    this.#exchange.makeRoom({
      ...{ queries: queries.length * 4, outputs: queries.length * 4, partials: partialBytes },
      ...(kind.startsWith('sparse') && { results: count * heads * ROW_RESULTS * 4 }),
      ...(kind === 'sparse-blocks' && { sums: LARGEST_JOB * BLOCK_SUMS * 4 }),
    });
    const { views } = this.#exchange.arena;
    views().f32.set(queries, this.#exchange.addresses.queries / 4);
    const blocks = kind === 'sparse-blocks';
    const shares = blocks ? this.#shares.of(layer) : [];
    const job = this.#runJob({ ...cut, layer, position, count, policy, shares, n: position + count });
    if (job.kind === 'dense-ranges') mergeRanges(thread, job);
    if (job.kind === 'sparse-parts') mergeParts(thread, job);
    if (blocks) this.#shares.learn(job, taskCount(job, this.cache.shape.keyValueHeads), views().f32);

    outputs.set(views().f32.subarray(job.outputs / 4, job.outputs / 4 + queries.length));
    if (!kind.startsWith('sparse')) return reportDense(job, this.cache.shape, heads);
    const results = job.results / 4;
    const rows = views().f32.subarray(results, results + count * heads * ROW_RESULTS);
    return reportRows(job, heads, rows);
  }

  /**
   * Measures what the heads of one layer need, for queries at any positions: how many keys, and with what errors. Throws
   * as `attend` does. Page means must be among the planes of the cache.
   */
  sample(request: SampleRequest): QuerySample[] {
    const { layer, positions, queries, outputs, plan } = request;
    this.cache.assertAlive();
    const { cache, heads } = this;
    checkSampleRequest(request, cache, heads);
    const n = Math.max(...positions) + 1;
    checkRange(layer, n, queries, cache);
    const count = positions.length;
    const numbers = recordLength(plan);
    const sizes = { heads, keyValueHeads: cache.shape.keyValueHeads, threads: this.threads, position: n - 1, count };
    const planNumbers = writePlan(plan, positions);
    this.#exchange.makeRoom({
      ...{ queries: queries.length * 4, outputs: queries.length * 4 },
      ...{ results: count * heads * numbers * 4, plan: planNumbers.length * 4 },
    });
    const { addresses, arena } = this.#exchange;
    const { f32 } = arena.views();
    f32.set(queries, addresses.queries / 4);
    f32.set(outputs, addresses.outputs / 4);
    f32.set(planNumbers, addresses.plan / 4);
    const kind = 'samples';
    this.#runJob({
      kind,
      layer,
      position: n - 1,
      count,
      policy: 0,
      grain: grainOf(kind, sizes),
      whole: 0,
      shares: [],
      n,
    });
    const records = arena.views().f32.slice(addresses.results / 4, addresses.results / 4 + count * heads * numbers);
    return Array.from({ length: count * heads }, (_, row) =>
      readSample(records.subarray(row * numbers, (row + 1) * numbers), plan),
    );
  }

  /** Ends the threads and frees the cache. Disposing again does nothing. */
  async dispose(): Promise<void> {
    this.cache.dispose();
    this.#thread = undefined;
    await this.#pool.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** Has the threads do a job whose queries see at most n keys; the exchange has room for what it needs. */
  #runJob({
    n,
    ...rest
  }: Pick<Job, 'kind' | 'layer' | 'position' | 'count' | 'policy' | 'grain' | 'whole' | 'shares'> & {
    n: number;
  }): Job {
    const { cache } = this;
    const { keyValueHeads } = cache.shape;
    const thread = this.#configured();
    const job: Job = {
      number: ++this.#jobs,
      ...rest,
      ...this.#exchange.addresses,
      norms: this.#norms(rest.layer),
      segments: cache.segments(n),
      memoryBytes: [this.#exchange, ...cache.regions].map(({ arena }) => arena.memory.buffer.byteLength),
    };
    writeJob(this.#arguments, job);
    this.#pool.run(this.#configuration, taskCount(job, keyValueHeads), (task) => runTask(thread, job, task));
    return job;
  }

  #policyIndex(spec: PolicySpec): number {
    const { policy, budget, plan, certify } = spec;
    const known = this.#policies.findIndex(
      (other) => other.policy === policy && other.budget === budget && other.plan === plan && other.certify === certify,
    );
    if (known !== -1) return known;
    const { layers } = this.cache.shape;
    invariant(plan === undefined || (plan.layers === layers && plan.heads === this.heads), () => ({
      code: 'invalid-argument',
      problem: 'The plan is that of another model.',
      found: `${plan?.layers} layers of ${plan?.heads} heads, where there are ${layers} of ${this.heads}`,
      remedy: 'Make one from a law of this model.',
    }));
    const missing = policyPlanes(spec).filter((plane) => !this.cache.shape.planes.includes(plane));
    invariant(missing.length === 0, () => ({
      code: 'invalid-argument',
      problem: `The policy ${policy} reads planes that the cache does not keep.`,
      found: this.cache.shape.planes.join(', ') || 'none but the exact one',
      remedy: `Create it with the planes ${missing.join(', ')}: see policyPlanes.`,
    }));
    this.#policies.push({
      policy,
      ...(budget !== undefined && { budget }),
      ...(plan !== undefined && { plan }),
      ...(certify !== undefined && { certify }),
    });
    this.#opened.push(createPolicy(spec));
    this.#thread = undefined;
    return this.#policies.length - 1;
  }

  /** Norms of each key-value head: see `Job`. */
  #norms(layer: number): number[] {
    const norms: number[] = [];
    for (let head = 0; head < this.cache.shape.keyValueHeads; head++) {
      const { keys, values, typicalValue } = this.cache.norms(layer, head);
      norms.push(keys, values, typicalValue);
    }
    return norms;
  }

  /** How a job is cut into tasks, and the bytes of what must be added up when they are done. */
  #cutOf(
    kind: WholeKind,
    { policy: index, layer, position, count }: Pick<Job, 'policy' | 'layer' | 'position' | 'count'>,
  ): Pick<Job, 'kind' | 'grain' | 'whole'> & { partialBytes: number } {
    const { heads, threads, cache } = this;
    const { keyValueHeads, headDim } = cache.shape;
    const n = position + count;
    if (kind === 'sparse-groups' && count === 1 && threads > 1) {
      const thread = this.#configured();
      const cut = cutGroups(thread, this.#opened[index] as SparsePolicy, { layer, n, threads }, cache.segments(n));
      if (cut !== undefined) return cut;
    }
    const grain = grainOf(kind, { heads, keyValueHeads, threads, position, count });
    const ranges = kind === 'dense-ranges' ? keyValueHeads * Math.ceil(n / grain) : 0;
    return { kind, grain, whole: 0, partialBytes: ranges * stateBytes(heads / keyValueHeads, headDim) };
  }

  #jobKind(policy: Policy, count: number, sharing: boolean, layer: number, position: number): WholeKind {
    if (policy.kind === 'sparse' && !this.#isGuarded(policy, layer, position, count)) {
      return sharing && count >= SMALLEST_BLOCK && policy.selector.blocks ? 'sparse-blocks' : 'sparse-groups';
    }
    return count === 1 && this.threads > 1 ? 'dense-ranges' : 'dense-blocks';
  }

  /**
   * Whether all heads of a layer are faster without the policy: then they are done together. The queries of a prompt are
   * asked where each of them is certified by itself; else blocks of them decide for themselves.
   */
  #isGuarded(policy: SparsePolicy, layer: number, position: number, count: number): boolean {
    if (this.#costs === undefined || (count > 1 && policy.certifier === undefined)) return false;
    const rows = this.heads / this.cache.shape.keyValueHeads;
    const n = position + count;
    for (let head = 0; head < this.heads; head += rows) {
      if (!isGuarded({ n, layer, head, rows }, policy, this.#costs)) return false;
    }
    return true;
  }

  #allocateWorkspaces(region: Region, options: Omit<KvCacheOptions, 'onRegion'>): void {
    const { headDim, capacity, keyValueHeads, precision = 'f16', planes = [] } = options;
    const group = this.heads / keyValueHeads;
    const sizes = { group, headDim, capacity };
    const size = { ...sizes, rows: largestBlock(group) * group, planes: completePlanes(planes, precision) };
    const workspaces: Workspace[] = [];
    for (let i = 0; i < this.threads; i++) {
      const workspace = allocateWorkspace(region.arena, size);
      if (workspace === undefined) throw noRoom();
      workspaces.push(workspace);
    }
    this.#workspaces.set(region, workspaces);
  }

  /** The calling thread's context, once all threads know of every region and policy. */
  #configured(): ThreadContext {
    const { regions } = this.cache;
    if (this.#thread !== undefined && this.#configuredRegions === regions.length) return this.#thread;
    this.#configuration++;
    this.#configuredRegions = regions.length;
    const setupOf = (thread: number): ThreadSetup => ({
      configuration: this.#configuration,
      control: this.#control,
      shape: this.cache.shape,
      heads: this.heads,
      kernels: this.#kernels,
      exchange: this.#exchange.arena.memory,
      regions: regions.map((region) => {
        const { arena, table, openTable } = region;
        return {
          memory: arena.memory,
          table,
          openTable,
          workspace: this.#workspaces.get(region)?.[thread] as Workspace,
        };
      }),
      policies: this.#policies,
      costs: this.#costs,
    });
    this.#pool.configure(this.#configuration, setupOf);
    this.#thread = openThread(setupOf(0), this.#thread);
    return this.#thread;
  }
}

function noRoom(): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: 'There is no memory for the buffers of the threads.',
    remedy: 'Use fewer threads, a smaller capacity, or raise arenaBytes.',
  });
}
