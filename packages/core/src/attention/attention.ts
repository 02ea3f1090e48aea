/**
 * The front of the attention: a cache, the policies that read it, and the threads that do the work. Whoever runs the
 * rest of a model calls `cache.reserve`, then for each layer `cache.write` and `attend`, then `cache.commit`.
 */
import { KvCache, type KvCacheOptions, type Region } from '../cache/kv-cache.ts';
import { checkPositiveInteger } from '../cache/shape.ts';
import { allocateWorkspace, type Workspace } from '../cache/workspace.ts';
import { CERTIFICATE_KINDS, type CertificateKind, weakerKind } from '../certificates/certificate.ts';
import { invariant, KeysieveError } from '../errors.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import { stateBytes } from '../kernels/kernels.ts';
import { PAGE_KEYS, rowBytes } from '../kernels/layout.ts';
import { createPolicy, type PolicySpec } from '../policies/policy.ts';
import { createControlBuffer, LARGEST_JOB, openControl } from '../threads/control.ts';
import { createThreadPool, type ThreadPool } from '../threads/pool.ts';
import { mergeRanges } from './dense.ts';
import { type Exchange, type Job, type JobKind, ROW_RESULTS, taskCount, writeJob } from './job.ts';
import { type AttentionReport, emptyReport } from './report.ts';
import { runTask } from './tasks.ts';
import { openThread, type ThreadContext, type ThreadSetup } from './thread.ts';

export interface AttentionOptions extends Omit<KvCacheOptions, 'createKernels' | 'onRegion'> {
  /** Query heads in a layer: a multiple of the key-value heads. */
  heads: number;
  /** Threads that work, the calling one included. Default: 1. More need shared memory. */
  threads?: number;
  /** Arithmetic: `wasm`, or the slow `reference`. Default: `wasm`. */
  kernels?: KernelsName;
}

export interface AttendRequest {
  layer: number;
  /** Position of the first query. The cache has the keys of all queries, committed or not. */
  position: number;
  /** Queries after RoPE, not scaled: (count, heads, headDim). */
  queries: Float32Array;
  policy: PolicySpec;
}

export interface AttendResult {
  /** (count, heads, headDim) */
  outputs: Float32Array;
  report: AttentionReport;
}

/** Query rows of one task of dense attention: as many as make the products large and stay within the cache. */
const BLOCK_ROWS = 192;
/** A range of keys that is worth a task of its own. */
const SMALLEST_RANGE = 8 * PAGE_KEYS;
/** Tasks for each thread: more balance better, fewer cost less. */
const TASKS_A_THREAD = 3;

/** Makes an attention with an empty cache. Throws `invalid-argument`, `cache-out-of-memory` or `thread-failed`. */
export async function createAttention(options: AttentionOptions): Promise<Attention> {
  const { heads, threads = 1, keyValueHeads } = options;
  checkPositiveInteger('heads', heads);
  checkPositiveInteger('threads', threads);
  invariant(heads % keyValueHeads === 0, () => ({
    code: 'invalid-argument',
    problem: `The ${heads} query heads cannot be shared out over the key-value heads.`,
    found: keyValueHeads,
    remedy: 'Give a number of query heads that is a multiple of the number of key-value heads.',
  }));
  const shared = options.shared ?? typeof SharedArrayBuffer !== 'undefined';
  const control = createControlBuffer(shared);
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
  readonly #pool: ThreadPool;
  readonly #control: ThreadSetup['control'];
  readonly #arguments: Float64Array;
  /** Of each region, of each thread. */
  readonly #workspaces: Workspace[][] = [];
  readonly #policies: PolicySpec[] = [];
  readonly #exchange: Exchange = { queries: 0, outputs: 0, results: 0, partials: 0 };
  readonly #exchangeBytes: Exchange = { queries: 0, outputs: 0, results: 0, partials: 0 };
  #thread: ThreadContext | undefined;
  #configuration = 0;
  #configuredRegions = 0;

  /** Use `createAttention`. */
  constructor(options: AttentionOptions & { shared: boolean }, control: ThreadSetup['control'], pool: ThreadPool) {
    const { heads, kernels = 'wasm', ...cacheOptions } = options;
    this.heads = heads;
    this.#kernels = kernels;
    this.#pool = pool;
    this.#control = control;
    this.#arguments = openControl(control).arguments;
    this.cache = new KvCache({
      ...cacheOptions,
      createKernels: (memory) => createKernels(kernels, memory),
      onRegion: (region) => this.#allocateWorkspaces(region, cacheOptions),
    });
  }

  /** Threads that work, the calling one included. */
  get threads(): number {
    return this.#pool.threads;
  }

  /** Attention of one layer, by a policy. Throws `invalid-argument` where the request does not fit the cache. */
  attend({ layer, position, queries, policy }: AttendRequest): AttendResult {
    const { headDim, layers } = this.cache.shape;
    const count = queries.length / (this.heads * headDim);
    invariant(Number.isSafeInteger(count) && count > 0 && layer >= 0 && layer < layers && position >= 0, () => ({
      code: 'invalid-argument',
      problem: `Queries are (count, ${this.heads}, ${headDim}), of one of ${layers} layers.`,
      found: `layer ${layer}, position ${position}, ${queries.length} numbers`,
      remedy: 'Pass at least one query, whole.',
    }));
    const segments = this.cache.segments(position + count);
    invariant((segments.at(-1)?.to ?? 0) >= position + count, () => ({
      code: 'invalid-argument',
      problem: 'The cache does not have the keys of all queries.',
      found: `keys before ${segments.at(-1)?.to ?? 0}, queries up to ${position + count - 1}`,
      remedy: 'Reserve and write the keys of the queries before attending.',
    }));
    const policyIndex = this.#policyIndex(policy);
    const kind = this.#jobKind(policyIndex, count);
    const grain = this.#grain(kind, position, count);
    const thread = this.#configured();
    this.#makeRoom(kind, count, position + 1, grain);

    const job: Job = {
      kind,
      layer,
      position,
      count,
      policy: policyIndex,
      grain,
      ...this.#exchange,
      norms: Array.from({ length: this.cache.shape.keyValueHeads }, (_, head) => {
        const { keys, values } = this.cache.norms(layer, head);
        return [keys, values];
      }).flat(),
      segments,
    };
    const home = thread.regions[0] as ThreadContext['regions'][number];
    home.views().f32.set(queries, job.queries / 4);
    writeJob(this.#arguments, job);
    const tasks = taskCount(job, this.cache.shape.keyValueHeads, this.heads);
    this.#pool.run(this.#configuration, tasks, (task) => runTask(thread, this.#arguments, task));
    if (kind === 'dense-ranges') mergeRanges(thread, job);

    const outputs = home.views().f32.slice(job.outputs / 4, job.outputs / 4 + queries.length);
    return { outputs, report: kind === 'sparse-rows' ? this.#sparseReport(job) : this.#denseReport(job) };
  }

  /** Ends the threads and frees the cache. */
  async dispose(): Promise<void> {
    this.cache.dispose();
    await this.#pool.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #policyIndex(spec: PolicySpec): number {
    const { policy, budget } = spec;
    const known = this.#policies.findIndex((other) => other.policy === policy && other.budget === budget);
    if (known !== -1) return known;
    createPolicy(spec);
    this.#policies.push(budget === undefined ? { policy } : { policy, budget });
    this.#thread = undefined;
    return this.#policies.length - 1;
  }

  #jobKind(policy: number, count: number): JobKind {
    if (this.#policies[policy]?.policy !== 'dense') return 'sparse-rows';
    return count === 1 && this.threads > 1 ? 'dense-ranges' : 'dense-blocks';
  }

  #grain(kind: JobKind, position: number, count: number): number {
    const { keyValueHeads } = this.cache.shape;
    const tasks = this.threads * TASKS_A_THREAD;
    if (kind === 'sparse-rows') return Math.ceil((count * this.heads) / LARGEST_JOB);
    if (kind === 'dense-ranges') {
      const keys = Math.ceil(((position + 1) * keyValueHeads) / tasks / PAGE_KEYS) * PAGE_KEYS;
      return Math.max(SMALLEST_RANGE, keys);
    }
    const largest = largestBlock(this.heads / keyValueHeads);
    return Math.max(1, Math.min(largest, Math.max(8, Math.ceil((count * keyValueHeads) / tasks))));
  }

  #allocateWorkspaces({ arena }: Region, { headDim, capacity, keyValueHeads }: Omit<KvCacheOptions, 'onRegion'>): void {
    const group = this.heads / keyValueHeads;
    const size = { rows: largestBlock(group) * group, headDim, capacity };
    const workspaces: Workspace[] = [];
    for (let i = 0; i < this.threads; i++) {
      const workspace = allocateWorkspace(arena, size);
      if (workspace === undefined) throw noRoom('the buffers of the threads');
      workspaces.push(workspace);
    }
    this.#workspaces.push(workspaces);
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
      regions: regions.map(({ arena, table }, i) => {
        return { memory: arena.memory, table, workspace: this.#workspaces[i]?.[thread] as Workspace };
      }),
      policies: this.#policies,
    });
    this.#pool.configure(this.#configuration, setupOf);
    this.#thread = openThread(setupOf(0), this.#thread);
    return this.#thread;
  }

  /** Makes the exchange large enough for a job. */
  #makeRoom(kind: JobKind, count: number, n: number, grain: number): void {
    const { keyValueHeads, headDim } = this.cache.shape;
    const rows = count * this.heads;
    const ranges = keyValueHeads * Math.ceil(n / grain);
    this.#atLeast('queries', rows * headDim * 4);
    this.#atLeast('outputs', rows * headDim * 4);
    this.#atLeast('results', rows * ROW_RESULTS * 4);
    if (kind === 'dense-ranges') this.#atLeast('partials', ranges * stateBytes(this.heads / keyValueHeads, headDim));
  }

  #atLeast(buffer: keyof Exchange, bytes: number): void {
    if (this.#exchangeBytes[buffer] >= bytes) return;
    const { arena } = this.cache.regions[0] as Region;
    const address = arena.allocate(bytes);
    if (address === undefined) throw noRoom('the queries of a chunk');
    if (this.#exchangeBytes[buffer] > 0) arena.free(this.#exchange[buffer], this.#exchangeBytes[buffer]);
    this.#exchange[buffer] = address;
    this.#exchangeBytes[buffer] = bytes;
  }

  #denseReport({ position, count, grain, kind }: Job): AttentionReport {
    const { keyValueHeads, headDim, precision } = this.cache.shape;
    const keys = this.heads * (count * position + (count * (count + 1)) / 2);
    // A block of queries reads a key once, for all its queries and all heads of the group.
    const block = kind === 'dense-blocks' ? grain : 1;
    let keysStreamed = 0;
    for (let end = 0; end < count; ) {
      end = Math.min(count, end + block);
      keysStreamed += position + end;
    }
    const bytesRead = keysStreamed * keyValueHeads * 2 * rowBytes(headDim, precision);
    return { ...emptyReport(), rows: count * this.heads, keys, keysRead: keys, bytesRead };
  }

  #sparseReport({ results, position, count }: Job): AttentionReport {
    const { views } = (this.cache.regions[0] as Region).arena;
    const numbers = views().f32.subarray(results / 4, results / 4 + count * this.heads * ROW_RESULTS);
    const report = emptyReport();
    for (let row = 0; row < count * this.heads; row++) {
      const [keys = 0, bytes = 0, tailMass = 0, outputError = 0, kind = 0] = numbers.subarray(row * ROW_RESULTS);
      report.rows += 1;
      report.keys += position + Math.floor(row / this.heads) + 1;
      report.keysRead += keys;
      report.bytesRead += bytes;
      report.tailMass.sum += tailMass;
      report.tailMass.max = Math.max(report.tailMass.max, tailMass);
      report.outputError.sum += outputError;
      report.outputError.max = Math.max(report.outputError.max, outputError);
      report.certificate = weakerKind(report.certificate, CERTIFICATE_KINDS[kind] as CertificateKind);
    }
    return report;
  }
}

/** Queries of one task of dense attention. */
const largestBlock = (group: number): number => Math.max(1, Math.floor(BLOCK_ROWS / group));

function noRoom(what: string): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: `There is no memory for ${what}.`,
    remedy: 'Process the prompt in smaller chunks, use fewer threads, or raise arenaBytes.',
  });
}
