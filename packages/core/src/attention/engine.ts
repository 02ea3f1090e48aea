/**
 * What attentions over caches of one shape share: the memory that their pages come from, the threads and their buffers, and
 * the policies that threads know. One of them attends at a time. The last of those who hold it ends the threads.
 */
import { type CachePoolOptions, createCachePool } from '../cache/cache-pool.ts';
import { cacheShape, checkPositiveInteger } from '../cache/shape.ts';
import type { SlabPool } from '../cache/slab-pool.ts';
import { invariant } from '../errors.ts';
import { createKernels, type KernelsName } from '../kernels/index.ts';
import type { Policy } from '../policies/policy.ts';
import type { StepCosts } from '../policies/step-costs.ts';
import type { JobThreads } from '../threads/pool.ts';
import { attentionThreads } from './attention-threads.ts';
import { maxBlockQueries } from './block-size.ts';
import type { AttentionShape } from './planner.ts';
import { JobRunner } from './runner.ts';
import { checkScoreRule, type ScoreRule } from './score-rule.ts';
import { noTimes, type PhaseTimes } from './trace.ts';

export interface EngineOptions extends Omit<CachePoolOptions, 'createKernels' | 'onRegion'>, ScoreRule {
  /** Query heads in a layer: a multiple of the key-value heads. */
  heads: number;
  /** Maximum number of keys of a cache. */
  capacity: number;
  /** Threads that work, the calling one included. Default: 1. More need shared memory. */
  threads?: number | undefined;
  /** Arithmetic: `wasm`, or the slow `reference`. Default: `wasm`. */
  kernels?: KernelsName | undefined;
  /**
   * What steps cost on this machine, from `measureStepCosts`: with them a query reads every key where that is faster than
   * its policy. Default: policies are done as they are asked for.
   */
  costs?: StepCosts | undefined;
  /**
   * Whether phases of the attention are timed, for `onTrace`. Timing takes the fused kernels apart, so that attention is
   * somewhat slower than without. Default: false.
   */
  timed?: boolean | undefined;
  /**
   * Whether outputs are the same with any number of threads: jobs are then cut as for one, and a job of fewer tasks than
   * there are threads leaves some of them idle. Default: false.
   */
  deterministic?: boolean | undefined;
}

/** Throws `invalid-argument`, `cache-out-of-memory` or `thread-failed`. */
export async function createAttentionEngine(options: EngineOptions): Promise<AttentionEngine> {
  const { heads, capacity, threads = 1, keyValueHeads } = options;
  checkPositiveInteger('heads', heads);
  checkPositiveInteger('threads', threads);
  checkPositiveInteger('capacity', capacity);
  checkScoreRule(options, cacheShape(options).layers, heads);
  invariant(heads % keyValueHeads === 0, () => ({
    code: 'invalid-argument',
    problem: `The ${heads} query heads must be a multiple of the key-value heads.`,
    found: keyValueHeads,
    remedy: 'Give a number of query heads that is a multiple of the number of key-value heads.',
  }));
  const shared = options.shared ?? typeof SharedArrayBuffer !== 'undefined';
  const jobThreads = await attentionThreads.join(shared ? threads : 1);
  try {
    return new AttentionEngine({ ...options, shared }, jobThreads);
  } catch (error) {
    await jobThreads.leave();
    throw error;
  }
}

export class AttentionEngine {
  readonly shape: AttentionShape;
  readonly capacity: number;
  readonly runner: JobRunner;
  readonly slabs: SlabPool;
  /** Where the times of phases are added up. */
  readonly times: PhaseTimes | undefined;
  readonly #threads: JobThreads;
  /** The numbers of policies among those of the runner, by their contents, and by themselves. */
  readonly #numbers = new Map<string, number>();
  readonly #numberOf = new WeakMap<Policy, number>();
  #holders = 1;

  /** Use `createAttentionEngine`. */
  constructor(options: EngineOptions & { shared: boolean }, threads: JobThreads) {
    const {
      heads,
      capacity,
      kernels = 'wasm',
      costs,
      timed = false,
      deterministic = false,
      window,
      softCap,
      sinks,
      ...cachePool
    } = options;
    const rule: ScoreRule = { window, softCap, sinks };
    const { keyValueHeads, shared } = cachePool;
    const groupSize = heads / keyValueHeads;
    this.capacity = capacity;
    this.times = timed ? noTimes() : undefined;
    this.#threads = threads;
    const shape = cacheShape(options);
    const { headDim, precision, encodings } = shape;
    this.shape = { heads, keyValueHeads, headDim, precision, threads: deterministic ? 1 : threads.threads, rule };
    this.runner = new JobRunner({
      shape,
      heads,
      workspaceSize: { rows: maxBlockQueries(groupSize) * groupSize, groupSize, headDim, capacity, encodings },
      kernels,
      shared,
      costs,
      rule,
      threads,
      times: this.times,
    });
    this.slabs = createCachePool({
      ...cachePool,
      createKernels: (memory, parameters) => createKernels(kernels, memory, parameters),
      onRegion: (region) => this.runner.addRegion(region),
    });
  }

  /** Bytes that have been taken: pages of all caches, each once, and the buffers of the threads. */
  get bytes(): number {
    return this.slabs.totalBytes + this.runner.bytes;
  }

  /** Bytes of the buffers of the threads, beside the pages. */
  get bufferBytes(): number {
    return this.bytes - this.slabs.bytes;
  }

  /** The number of a policy, which jobs name it by: the same one for policies that say the same. */
  policyNumber(policy: Policy): number {
    const existing = this.#numberOf.get(policy);
    if (existing !== undefined) return existing;
    const contents = JSON.stringify(policy.parsed);
    const number = this.#numbers.get(contents) ?? this.runner.addPolicy(policy);
    this.#numbers.set(contents, number);
    this.#numberOf.set(policy, number);
    return number;
  }

  /** Wakes the threads for a number of jobs that are about to come. */
  prewakeThreads(jobs: number): void {
    this.#threads.prewake(jobs);
  }

  /** Whether somebody holds the engine: else it has ended. */
  get isHeld(): boolean {
    return this.#holders > 0;
  }

  /** Holds the engine: another call of `release` is due. */
  retain(): void {
    this.#holders++;
  }

  /** Lets go of the engine. The last one to do so ends the threads and frees the memory. */
  async release(): Promise<void> {
    if (--this.#holders > 0) return;
    this.runner.release();
    this.slabs.letGo();
    await this.#threads.leave();
  }
}
