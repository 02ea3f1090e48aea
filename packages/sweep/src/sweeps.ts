/** Sweeps in a queue: putting their cells in, looking how far they are, their results, and taking them out again. */
import {
  type Cell,
  type CellResult,
  cellId,
  cellsOf,
  formatCount,
  formatTable,
  type ResultOf,
  type RunPlan,
  resultJson,
  resultOfRun,
} from '@keysieve/lab';
import type { Job } from 'bullmq';
import { KeysieveError } from 'keysieve';
import { sweepError } from './errors.ts';
import type { Sweep } from './plan.ts';
import { CELL_QUEUES, type CellJob, type CellQueueName, type Queues } from './queues.ts';

/** Jobs that travel to the store at once. */
const BATCH = 500;

/** A cell of a sweep, and the job that it is. */
interface SweepCell {
  id: string;
  queue: CellQueueName;
  job: CellJob;
  cell: Cell;
}

/** All cells of a sweep, each once, however often runs share it. */
function* cellsOfSweep({ id: sweep, runs }: Sweep): Generator<SweepCell> {
  const seen = new Set<string>();
  for (const [run, plan] of runs.entries()) {
    for (const [index, cell] of (cellsOf(plan) ?? []).entries()) {
      const id = cellId(cell);
      if (seen.has(id)) continue;
      seen.add(id);
      const queue = 'timed' in cell.key ? 'keysieve-timings' : 'keysieve-cells';
      yield { id, queue, job: { sweep, run, cell: index, tokens: cell.tokens }, cell };
    }
  }
}

/** Puts the cells of a sweep into the queue; those that are there already, done or not, stay as they are. Gives their number. */
export async function queueSweep(queues: Queues, sweep: Sweep): Promise<number> {
  await queues.plans.add('plan', { json: JSON.stringify(sweep) }, { jobId: sweep.id });
  let count = 0;
  const batches = Object.fromEntries(CELL_QUEUES.map((name) => [name, [] as SweepCell[]])) as Record<
    CellQueueName,
    SweepCell[]
  >;
  const send = async (name: CellQueueName) => {
    const batch = batches[name].splice(0);
    if (batch.length === 0) return;
    await queues.cells[name].addBulk(batch.map(({ id, job }) => ({ name: 'cell', data: job, opts: { jobId: id } })));
  };
  for (const cell of cellsOfSweep(sweep)) {
    batches[cell.queue].push(cell);
    count++;
    if (batches[cell.queue].length >= BATCH) await send(cell.queue);
  }
  for (const name of CELL_QUEUES) await send(name);
  return count;
}

/** The sweep that was queued under an id. Throws `sweep-not-found`. */
export async function findSweep(queues: Queues, id: string): Promise<Sweep> {
  const job = await queues.plans.getJob(id);
  if (job !== undefined && job !== null) return JSON.parse(job.data.json) as Sweep;
  const others = await queues.plans.getJobs();
  throw sweepError({
    code: 'sweep-not-found',
    problem: 'The queue has no sweep of this id.',
    found: id,
    remedy: `Give one of: ${others.map((each) => each.id).join(', ') || 'none, the queue is empty'}.`,
  });
}

/** What has become of a sweep so far. */
export interface SweepStatus {
  id: string;
  cells: { total: number; done: number; active: number; waiting: number; failed: number; missing: number };
  /** Tokens of all cells, of those that are done, and of those that are being computed as far as they are. */
  tokens: { total: number; done: number };
  /** Cells that were set aside, after the last try. */
  failed: { cell: object; error: string; tries: number }[];
}

/** Looks how far a sweep is. Throws `sweep-not-found`. */
export async function sweepStatus(queues: Queues, id: string): Promise<SweepStatus> {
  const sweep = await findSweep(queues, id);
  const cells = { total: 0, done: 0, active: 0, waiting: 0, failed: 0, missing: 0 };
  const tokens = { total: 0, done: 0 };
  const failed: SweepStatus['failed'] = [];
  await eachJob(queues, sweep, async ({ cell }, job) => {
    const state = job === undefined ? 'missing' : (STATES[await job.getState()] ?? 'waiting');
    cells.total++;
    cells[state]++;
    tokens.total += cell.tokens;
    if (state === 'done') tokens.done += cell.tokens;
    if (state === 'active') tokens.done += Math.min(cell.tokens, (job?.progress as { tokens?: number })?.tokens ?? 0);
    if (state === 'failed')
      failed.push({ cell: cell.key, error: job?.failedReason ?? '', tries: job?.attemptsMade ?? 0 });
  });
  return { id, cells, tokens, failed };
}

/** A sweep's status as a table of at most `width` columns, and a line for each cell that was set aside. */
export function describeStatus({ cells, tokens, failed }: SweepStatus, width: number): string {
  const counts = Object.entries(cells).map(([state, count]) => [state, formatCount(count)]);
  const share = (100 * tokens.done) / Math.max(1, tokens.total);
  return [
    `${share.toFixed(1)} % of ${formatCount(tokens.total)} tokens`,
    formatTable(['cells', ''], counts, { width }),
    ...failed.map(({ cell, error }) => `set aside: ${JSON.stringify(cell)}: ${error}`),
  ].join('\n');
}

const STATES: Partial<Record<string, 'done' | 'active' | 'failed'>> = {
  completed: 'done',
  active: 'active',
  failed: 'failed',
};

/** A run of a sweep, and what it has found. */
export interface RunResult {
  plan: RunPlan;
  /** Null where cells of it are missing, or where nothing can be made of them. */
  result: unknown;
  /** Why nothing can be made of its cells: errors that fall with no budget, so that there is no law. */
  error?: string;
}

/** What the runs of a sweep have found, as each would have alone. Throws `sweep-not-found`. */
export async function sweepResults(queues: Queues, id: string): Promise<RunResult[]> {
  const sweep = await findSweep(queues, id);
  const found = new Map<string, string>();
  await eachJob(queues, sweep, async ({ id: cell }, job) => {
    if (typeof job?.returnvalue === 'string') found.set(cell, job.returnvalue);
  });
  const resultOf = async (cell: Cell) => resultJson.parse(found.get(cellId(cell)) as string) as CellResult as never;
  const results: RunResult[] = [];
  for (const plan of sweep.runs) {
    const isComplete = (cellsOf(plan) ?? []).every((cell) => found.has(cellId(cell)));
    results.push({ plan, ...(isComplete ? await resultOrError(plan, resultOf) : { result: null }) });
  }
  return results;
}

async function resultOrError(plan: RunPlan, resultOf: ResultOf): Promise<Omit<RunResult, 'plan'>> {
  try {
    return { result: await resultOfRun(plan, resultOf) };
  } catch (error) {
    if (!(error instanceof KeysieveError)) throw error;
    return { result: null, error: `${error.message} [${error.code}]` };
  }
}

/** Takes the cells of a sweep out of the queue that no worker has begun, and those that failed; results stay. Gives their number. */
export async function cancelSweep(queues: Queues, id: string): Promise<number> {
  const sweep = await findSweep(queues, id);
  let removed = 0;
  await eachJob(queues, sweep, async (_, job) => {
    if (job === undefined || ['active', 'completed'].includes(await job.getState())) return;
    // A worker may have begun it meanwhile.
    await job.remove().then(
      () => removed++,
      () => {},
    );
  });
  return removed;
}

/** Looks every cell's job up. */
async function eachJob(
  queues: Queues,
  sweep: Sweep,
  visit: (cell: SweepCell, job: Job<CellJob, string> | undefined) => Promise<void>,
): Promise<void> {
  let batch: SweepCell[] = [];
  const look = async () => {
    const looked = batch;
    batch = [];
    const jobs = await Promise.all(looked.map(({ id, queue }) => queues.cells[queue].getJob(id)));
    await Promise.all(looked.map((cell, i) => visit(cell, jobs[i] ?? undefined)));
  };
  for (const cell of cellsOfSweep(sweep)) {
    batch.push(cell);
    if (batch.length >= BATCH) await look();
  }
  await look();
}
