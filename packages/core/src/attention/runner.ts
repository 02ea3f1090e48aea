/**
 * Runs jobs. One thread works on the caller's own arrays, one task after the other; several share the job buffers, and
 * each claims tasks until none is left.
 */
import { MAX_SEGMENTS } from '../cache/page-list.ts';
import type { CacheShape } from '../cache/shape.ts';
import { MAX_REGIONS, type Region } from '../cache/slab-pool.ts';
import { KeysieveError } from '../errors.ts';
import { allocateWorkspace, type Workspace, type WorkspaceSize } from '../group/workspace.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import { compiledKernels } from '../kernels/wasm/wasm-kernels.ts';
import type { Policy } from '../policies/policy.ts';
import { policyModules } from '../policies/registry.ts';
import type { StepCosts } from '../policies/step-costs.ts';
import type { JobThreads } from '../threads/pool.ts';
import { mergeRanges } from './full.ts';
import {
  type Job,
  type JobAddresses,
  type JobData,
  type JobPlan,
  type JobQueries,
  maxBatchNumbers,
  openJobData,
  taskCount,
  writeBatch,
} from './job.ts';
import { createJobBuffers, type JobBuffers } from './job-buffers.ts';
import type { ScoreRule } from './score-rule.ts';
import { mergeParts } from './split-decode.ts';
import { openBatch, runTask } from './tasks.ts';
import { openThread, type ThreadContext, type ThreadSetup } from './thread.ts';
import type { PhaseTimes } from './trace.ts';

export interface RunnerOptions {
  shape: CacheShape;
  /** Query heads in a layer. */
  heads: number;
  workspaceSize: WorkspaceSize;
  kernels: KernelsName;
  shared: boolean;
  costs: StepCosts | undefined;
  rule: ScoreRule;
  threads: JobThreads;
  /** Where the calling thread adds up the times of phases. Default: nothing is timed. */
  times: PhaseTimes | undefined;
}

/** A job that has no data yet. */
export type JobOrder = JobPlan & JobQueries;

/** What a job reads and writes, and the room that it needs beside. */
export interface JobArrays {
  /** (count, heads, d) */
  queries: Float32Array;
  /** (count, heads, d). Read instead where `measurePlan` is given. */
  outputs: Float32Array;
  measurePlan?: Float32Array;
  /** Numbers of the results of all rows. */
  resultNumbers: number;
  /** Numbers of the errors of all blocks. Default: 0. */
  blockErrorNumbers?: number;
  /** Bytes of the states that are merged once all tasks are done. Default: 0. */
  partialBytes?: number;
}

/** A job to be done. */
export interface JobRequest {
  order: JobOrder;
  arrays: JobArrays;
}

/** Results and block errors of a job, from the beginning of these arrays on; the next batch overwrites them. */
export type JobResults = Pick<JobData, 'results' | 'blockErrors'>;

export class JobRunner {
  readonly #options: RunnerOptions;
  readonly #batchNumbers: Float64Array;
  readonly #buffers: JobBuffers;
  /** Workspaces of a region, by thread. */
  readonly #workspaces = new WeakMap<Region, Workspace[]>();
  readonly #policies: Policy[] = [];
  #context: ThreadContext | undefined;
  /** How many regions and policies all threads know. */
  #configured = { regions: 0, policies: 0 };
  #batches = 0;
  /** Room for results and block errors where one thread works, used again. */
  #results = new Float32Array(0);
  #blockErrors = new Float32Array(0);

  constructor(options: RunnerOptions) {
    this.#options = options;
    const { shape, heads, shared } = options;
    const bytes = 8 * maxBatchNumbers(heads, shape.keyValueHeads, MAX_REGIONS, MAX_SEGMENTS);
    this.#batchNumbers = new Float64Array(shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes));
    this.#buffers = createJobBuffers(options.shared, (memory, parameters) =>
      createKernels(options.kernels, memory, parameters),
    );
  }

  get threads(): number {
    return this.#options.threads.threads;
  }

  /** Bytes of the job buffers that have been taken. */
  get bytes(): number {
    return this.#buffers.arena.usedBytes;
  }

  /** Takes the workspaces of all threads out of a new region. Throws `cache-out-of-memory`. */
  addRegion(region: Region): void {
    const workspaces: Workspace[] = [];
    for (let thread = 0; thread < this.threads; thread++) {
      const workspace = allocateWorkspace(region.arena, this.#options.workspaceSize);
      if (workspace === undefined) throw outOfMemory();
      workspaces.push(workspace);
    }
    this.#workspaces.set(region, workspaces);
  }

  /** Adds a policy. Returns its index, which jobs name it by. */
  addPolicy(policy: Policy): number {
    return this.#policies.push(policy) - 1;
  }

  /** The calling thread's context, once all threads have been told of every region and policy. */
  context(regions: readonly Region[]): ThreadContext {
    const current = this.#configured;
    if (
      this.#context !== undefined &&
      current.regions === regions.length &&
      current.policies === this.#policies.length
    ) {
      return this.#context;
    }
    this.#configured = { regions: regions.length, policies: this.#policies.length };
    const { threads, times } = this.#options;
    threads.configure((thread) => this.#setup(thread, regions));
    const owner = { policies: this.#policies, times };
    this.#context = openThread(this.#setup(0, regions), this.#context, owner);
    return this.#context;
  }

  /** Hands all threads what there is so far, and waits for them: a browser may deliver nothing while the owner works. */
  async configure(regions: readonly Region[]): Promise<void> {
    this.context(regions);
    await this.#options.threads.configured();
  }

  /** Lets go of the memories: nothing can be run any more. */
  release(): void {
    this.#context = undefined;
  }

  /** Does a job. Throws `cache-out-of-memory` and `thread-failed`. */
  run(order: JobOrder, arrays: JobArrays, regions: readonly Region[]): JobResults {
    return this.runAll([{ order, arrays }], regions)[0] as JobResults;
  }

  /** Tasks of a job. */
  taskCount(order: JobOrder): number {
    return taskCount(order, order, this.#options.shape.keyValueHeads);
  }

  /**
   * Does at most `MAX_BATCH_JOBS` jobs at once, of at most `MAX_JOB_TASKS` tasks together: threads go from one to the next
   * without waiting for each other. Throws as `run`.
   */
  runAll(requests: readonly JobRequest[], regions: readonly Region[]): JobResults[] {
    const context = this.context(regions);
    return this.threads === 1 ? this.#runAlone(context, requests) : this.#runShared(context, requests, regions);
  }

  #runAlone(context: ThreadContext, requests: readonly JobRequest[]): JobResults[] {
    const results = requests.reduce((sum, { arrays }) => sum + arrays.resultNumbers, 0);
    const blockErrors = requests.reduce((sum, { arrays }) => sum + (arrays.blockErrorNumbers ?? 0), 0);
    if (this.#results.length < results) this.#results = new Float32Array(results);
    if (this.#blockErrors.length < blockErrors) this.#blockErrors = new Float32Array(blockErrors);
    let [resultsAt, blockErrorsAt] = [0, 0];
    const jobs = requests.map(({ order, arrays }): Job => {
      const { queries, outputs, measurePlan = NONE, resultNumbers, blockErrorNumbers = 0 } = arrays;
      const data = {
        queries,
        outputs,
        measurePlan,
        results: this.#results.subarray(resultsAt),
        blockErrors: this.#blockErrors.subarray(blockErrorsAt),
        partials: 0,
      };
      resultsAt += resultNumbers;
      blockErrorsAt += blockErrorNumbers;
      return { ...order, data };
    });
    const batch = openBatch(jobs, context.shape.keyValueHeads);
    const tasks = batch.ends.at(-1) ?? 0;
    for (let task = 0; task < tasks; task++) runTask(context, batch, task);
    return jobs.map(({ data }) => data);
  }

  #runShared(context: ThreadContext, requests: readonly JobRequest[], regions: readonly Region[]): JobResults[] {
    const { arena } = this.#buffers;
    const addresses = this.#placeArrays(requests);
    const { f32 } = arena.views();
    const jobs = requests.map(({ order, arrays }, i): Job => {
      const data = openJobData(addresses[i] as JobAddresses, f32);
      const { queries, outputs, measurePlan = NONE } = arrays;
      data.queries.set(queries);
      if (measurePlan !== NONE) {
        data.outputs.set(outputs);
        data.measurePlan.set(measurePlan);
      }
      return { ...order, data };
    });
    const memoryBytes = [arena.memory.buffer.byteLength];
    for (const region of regions) memoryBytes.push(region.arena.memory.buffer.byteLength);
    const messages = requests.map(({ order }, i) => ({ ...order, addresses: addresses[i] as JobAddresses }));
    writeBatch(this.#batchNumbers, { number: ++this.#batches, jobs: messages, memoryBytes });

    const batch = openBatch(jobs, context.shape.keyValueHeads);
    const { threads, times } = this.#options;
    threads.run(batch.ends.at(-1) ?? 0, (task) => runTask(context, batch, task));
    if (times !== undefined) times.waiting += threads.waitedMs;
    for (const [i, job] of jobs.entries()) {
      const { outputs, measurePlan = NONE } = (requests[i] as JobRequest).arrays;
      if (job.kind === 'full-ranges') mergeRanges(context, job, (addresses[i] as JobAddresses).outputs);
      if (job.kind === 'decode-split') mergeParts(context, job);
      if (measurePlan === NONE) outputs.set(job.data.outputs.subarray(0, outputs.length));
    }
    return jobs.map(({ data }) => data);
  }

  /** Makes room in the job buffers for the arrays of all jobs, one behind the other. Returns the addresses of each. */
  #placeArrays(requests: readonly JobRequest[]): JobAddresses[] {
    const total: JobAddresses = { queries: 0, outputs: 0, results: 0, blockErrors: 0, measurePlan: 0, partials: 0 };
    const names = Object.keys(total) as (keyof JobAddresses)[];
    const offsets = requests.map(({ arrays }) => {
      const bytes = arrayBytes(arrays);
      const offset = { ...total };
      for (const name of names) total[name] += Math.ceil(bytes[name] / ALIGNMENT) * ALIGNMENT;
      return offset;
    });
    this.#buffers.ensureCapacity(total);
    const { addresses } = this.#buffers;
    for (const offset of offsets) for (const name of names) offset[name] += addresses[name];
    return offsets;
  }

  #setup(thread: number, regions: readonly Region[]): ThreadSetup {
    const { shape, heads, kernels, costs, rule } = this.#options;
    return {
      batchNumbers: this.#batchNumbers.buffer,
      shape,
      heads,
      kernels,
      ...(thread > 0 && { compiledKernels: compiledKernels() }),
      jobMemory: this.#buffers.arena.memory,
      regions: regions.map((region) => ({
        memory: region.arena.memory,
        bases: region.bases,
        workspace: this.#workspaces.get(region)?.[thread] as Workspace,
      })),
      policies: this.#policies.map(({ parsed }) => parsed),
      policyModules: policyModules(),
      costs,
      rule,
    };
  }
}

/** Bytes that the addresses of arrays are multiples of. */
const ALIGNMENT = 64;

/** Bytes of the arrays of a job in the job buffers. */
function arrayBytes({
  queries,
  outputs,
  measurePlan = NONE,
  resultNumbers,
  blockErrorNumbers = 0,
  partialBytes = 0,
}: JobArrays): JobAddresses {
  return {
    queries: queries.length * 4,
    outputs: outputs.length * 4,
    measurePlan: measurePlan.length * 4,
    results: resultNumbers * 4,
    blockErrors: blockErrorNumbers * 4,
    partials: partialBytes,
  };
}

/** The plan of jobs that measure nothing. */
const NONE = new Float32Array(0);

function outOfMemory(): KeysieveError {
  return new KeysieveError({
    code: 'cache-out-of-memory',
    problem: 'There is no memory for the buffers of the threads.',
    remedy: 'Use fewer threads, a smaller capacity, or raise arenaBytes.',
  });
}
