/** A worker: takes cells out of the queue, one at a time, and has its child process compute them. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { acquireLock } from '@keysieve/llm/internal';
import { UnrecoverableError } from 'bullmq';
import { createCellChild } from './cell-child.ts';
import type { Sweep } from './plan.ts';
import { CELL_QUEUES, type CellJob, openQueues } from './queues.ts';
import { findSweep } from './sweeps.ts';

/** Where cells are found, and what they are computed with. */
export interface WorkerRunOptions {
  /** URL of the store. */
  queue: string;
  /** Folder of models and texts, which are found by their hash. Default: only what can be had by its name. */
  models?: string | undefined;
  /** When it is aborted, the cell in hand is finished and no other begun. */
  signal: AbortSignal;
  onNote?: ((text: string) => void) | undefined;
  /** A worker that has not been heard of for so long has lost its cell to another one, in milliseconds. Default: 30,000. */
  lockMs?: number | undefined;
}

/** Errors that the next try would meet too, wherever it is made. */
const FINAL = new Set(['invalid-argument', 'plan-invalid']);
/** Workers that may be lost over one cell before it is set aside: it may be the cell that ends them. */
const MAX_LOST_WORKERS = 10;
/** Progress reaches the store this often. */
const PROGRESS_MS = 1000;

/** Works until the signal is aborted. Throws `queue-unsupported` and `queue-unreachable`. */
export async function runWorker(options: WorkerRunOptions): Promise<void> {
  const { queue, models, signal, onNote = () => {}, lockMs = 30_000 } = options;
  await using queues = await openQueues(queue);
  const child = createCellChild();
  const sweeps = new Map<string, Sweep>();
  let turn: Promise<unknown> = Promise.resolve();

  async function compute({ sweep: id, run, cell }: CellJob, report: (tokens: number) => Promise<void>) {
    let sweep = sweeps.get(id);
    if (sweep === undefined) {
      sweep = await findSweep(queues, id);
      sweeps.set(id, sweep);
    }
    const plan = sweep.runs[run] as Sweep['runs'][number];
    let next = 0;
    const onProgress = (done: number) => {
      if (performance.now() < next) return;
      next = performance.now() + PROGRESS_MS;
      report(done).catch(() => {});
    };
    const source = sweep.sources[plan.run.hash as string];
    try {
      return await child.compute({ plan, index: cell, source, models }, onProgress);
    } catch (error) {
      const { code = '', message } = error as { code?: string; message: string };
      const described = `${message} [${code || 'unexpected'}]`;
      onNote(described);
      throw FINAL.has(code) ? new UnrecoverableError(described) : new Error(described);
    }
  }

  /** One cell at a time: the child has one model and one context. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = turn.then(work);
    turn = result.catch(() => {});
    return result;
  }

  const workers = CELL_QUEUES.map((name) =>
    queues.work(
      name,
      ({ data }, report) =>
        inTurn(async () => {
          if (name === 'keysieve-cells') return compute(data, report);
          // Of the workers of a machine, one measures times.
          await using _ = await acquireLock(join(tmpdir(), 'keysieve-timing.lock'));
          return await compute(data, report);
        }),
      { concurrency: 1, lockDuration: lockMs, stalledInterval: lockMs, maxStalledCount: MAX_LOST_WORKERS },
    ),
  );
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await Promise.all(workers.map((worker) => worker.close()));
  child.end();
}
