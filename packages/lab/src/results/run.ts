/** Runs: a list of cells, and the report that their results make. */
import { labError } from '../errors.ts';
import { type WorkOptions, workOf } from '../work.ts';
import { type Cell, type CellResult, type ComputeCell, type ResultOf, savedOrComputed } from './cell.ts';
import { openResults, type RunSettings, readResultLines, type SavedResults } from './saved-results.ts';
import { cellsOfShard, type Shard } from './shard.ts';

/** What computes cells, until it is disposed of. */
export interface CellComputer<C extends Cell> extends AsyncDisposable {
  compute: ComputeCell<C>;
  /** Called when no cell is left: removes what only an interrupted run would need. */
  finish?(): Promise<void>;
}

/** Work that is divided into cells. */
export interface Run<C extends Cell, Result> {
  /** As plain data, all that the result is made from beside the results of the cells. */
  plan: { kind: string; run: RunSettings };
  /** In an order in which those that share what is read are neighbours; undefined where each result decides what is computed next. */
  cells: readonly C[] | undefined;
  open(): Promise<CellComputer<C>>;
  result(resultOf: ResultOf<C>): Promise<Result>;
}

/** Where a run keeps what it computes. */
export interface KeepOptions extends WorkOptions {
  save?: string | undefined;
}

/** Does all work of a run that is not saved already, and gives its result. */
export async function runAlone<C extends Cell, Result>(run: Run<C, Result>, options: KeepOptions): Promise<Result> {
  await using work = await openWork(run, options);
  const result = await run.result(work.resultOf);
  await work.finish();
  return result;
}

/** What a shard has done: its cells, those among them that had been computed before, and all cells of the run. */
export interface ShardSummary {
  cells: number;
  found: number;
  total: number;
}

/**
 * Computes the cells of a shard, and keeps them in a file that `mergeResults` reads. Throws `invalid-argument` where the
 * work of the run follows from its results, so that it cannot be divided.
 */
export async function runShard<C extends Cell, Result>(
  run: Run<C, Result>,
  shard: Shard,
  options: KeepOptions & { save: string },
): Promise<ShardSummary> {
  if (run.cells === undefined) {
    throw labError({
      code: 'invalid-argument',
      problem: 'What is computed next follows from the results so far: this cannot be divided into shards.',
      remedy: 'Name the budgets to compare, or run it on one machine.',
    });
  }
  const { signal } = workOf(options);
  await using work = await openWork(run, options);
  const cells = cellsOfShard(run.cells, shard);
  const found = cells.filter(({ key }) => work.saved.find(key) !== undefined).length;
  for (const cell of cells) {
    signal.throwIfAborted();
    await work.resultOf(cell);
  }
  await work.finish();
  return { cells: cells.length, found, total: run.cells.length };
}

/** The threads that the results in a file were computed with; undefined where there are none that can be read. */
export async function threadsOfResults(path: string): Promise<number | undefined> {
  const lines = await readResultLines(path).catch(() => []);
  const plans = lines.filter(({ key }) => key === JSON.stringify(PLAN_KEY));
  const { run } = (plans.at(-1)?.value ?? {}) as { run?: RunSettings };
  return typeof run?.threads === 'number' ? run.threads : undefined;
}

/** The key under which the plan of a run is saved. */
export const PLAN_KEY = { plan: true };

interface OpenWork<C extends Cell> extends AsyncDisposable {
  saved: SavedResults;
  resultOf: ResultOf<C>;
  finish(): Promise<void>;
}

/** Opens what is saved of a run; what computes its cells is opened when the first of them is needed. */
async function openWork<C extends Cell, Result>(
  { plan, open }: Run<C, Result>,
  { save, ...options }: KeepOptions,
): Promise<OpenWork<C>> {
  const saved = await openResults(save, plan.run, workOf(options).onNote);
  if (JSON.stringify(saved.find(PLAN_KEY)) !== JSON.stringify(plan)) await saved.keep(PLAN_KEY, plan);
  let computer: CellComputer<C> | undefined;
  return {
    saved,
    resultOf: savedOrComputed(saved, async (cell): Promise<CellResult> => {
      computer ??= await open();
      return computer.compute(cell);
    }),
    finish: async () => computer?.finish?.(),
    [Symbol.asyncDispose]: async () => computer?.[Symbol.asyncDispose](),
  };
}
