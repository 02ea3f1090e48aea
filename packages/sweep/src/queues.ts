/** The queues of sweeps, in the store that a URL names: Redis or Valkey, or PostgreSQL. */
import { createPostgresBackend, Queue, type QueueOptions, Worker, type WorkerOptions } from 'bullmq';
import { sweepError } from './errors.ts';

/** A cell in a queue: the sweep that has queued it, its run, and its index among the run's cells. */
export interface CellJob {
  sweep: string;
  run: number;
  cell: number;
  tokens: number;
}

/** Cells of quality run side by side; those that a clock measures, one at a time on a machine. */
export const CELL_QUEUES = ['keysieve-cells', 'keysieve-timings'] as const;
export type CellQueueName = (typeof CELL_QUEUES)[number];
/** Plans, which no worker takes; they lie beside the cells so that workers find them. */
const PLAN_QUEUE = 'keysieve-plans';

/** Cells that failed are tried again, later each time, and then set aside. */
const RETRIES = { attempts: 3, backoff: { type: 'exponential', delay: 1000 } } as const;

export interface Queues extends AsyncDisposable {
  cells: Record<CellQueueName, Queue<CellJob, string>>;
  /** Sweeps by their ids, as JSON: a store may put the members of an object in another order. */
  plans: Queue<{ json: string }>;
  /** Takes jobs of a queue. */
  work(
    name: CellQueueName,
    process: (
      job: { id?: string | undefined; data: CellJob },
      report: (tokens: number) => Promise<void>,
    ) => Promise<string>,
    options: Omit<WorkerOptions, 'connection'>,
  ): Worker<CellJob, string>;
}

/** Throws `queue-unsupported` for any other URL, and `queue-unreachable` where nothing answers. */
export async function openQueues(url: string): Promise<Queues> {
  const backend = backendOf(url);
  const make = <Data>(name: string, options: Partial<QueueOptions> = {}) =>
    backend.queue<Data>(name, { ...options, connection: backend.connection(false) });
  const cells = Object.fromEntries(
    CELL_QUEUES.map((name) => [name, make<CellJob>(name, { defaultJobOptions: RETRIES })]),
  ) as Queues['cells'];
  const plans = make<{ json: string }>(PLAN_QUEUE);
  const queues = [...Object.values(cells), plans];
  const dispose = async () => {
    await Promise.all(queues.map((queue) => queue.close().catch(() => {})));
  };
  let failure: unknown;
  for (const queue of queues) queue.on('error', (error) => (failure = error));
  await Promise.race([plans.getJobCounts(), unreachable(url, () => failure)]).catch(async (error) => {
    void dispose();
    throw error;
  });
  return {
    cells,
    plans,
    work(name, process, options) {
      const worker = backend.worker<CellJob, string>(
        name,
        (job) => process(job, (tokens) => job.updateProgress({ tokens })),
        { ...options, connection: backend.connection(true) },
      );
      worker.on('error', () => {});
      return worker;
    },
    [Symbol.asyncDispose]: dispose,
  };
}

const ANSWER_MS = 5000;

async function unreachable(url: string, failure: () => unknown): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, ANSWER_MS).unref());
  const { host } = new URL(url);
  throw sweepError({
    code: 'queue-unreachable',
    problem: 'The store of the queue does not answer.',
    found: `${host}${failure() === undefined ? '' : `: ${(failure() as Error).message || (failure() as { code?: string }).code}`}`,
    remedy: 'Start it, and check the address and the password of --queue.',
  });
}

function backendOf(url: string) {
  const protocol = /^([a-z]+):\/\//.exec(url)?.[1];
  if (protocol === 'redis' || protocol === 'rediss') {
    return {
      // A worker waits for its store to come back, however long that takes.
      connection: (waits: boolean) => ({ url, maxRetriesPerRequest: waits ? null : 20 }),
      queue: <Data>(name: string, options: QueueOptions) => new Queue<Data, string>(name, options),
      worker: <Data, Result>(name: string, process: Processor<Data, Result>, options: WorkerOptions) =>
        new Worker<Data, Result>(name, process as never, options),
    };
  }
  if (protocol === 'postgres' || protocol === 'postgresql') {
    return {
      // The queue makes its tables when it finds none.
      connection: () => ({ connectionString: url, migrate: true }) as never,
      queue: <Data>(name: string, options: QueueOptions) =>
        new Queue(name, options as never, createPostgresBackend) as unknown as Queue<Data, string>,
      worker: <Data, Result>(name: string, process: Processor<Data, Result>, options: WorkerOptions) =>
        new Worker(name, process as never, options as never, createPostgresBackend) as unknown as Worker<Data, Result>,
    };
  }
  throw sweepError({
    code: 'queue-unsupported',
    problem: 'No queue can be kept there.',
    found: url.replace(/\/\/.*@/, '//'),
    remedy: 'Give redis://HOST:PORT or postgres://USER@HOST/DATABASE.',
  });
}

type Processor<Data, Result> = (job: {
  id?: string | undefined;
  data: Data;
  updateProgress(progress: object): Promise<void>;
}) => Promise<Result>;
