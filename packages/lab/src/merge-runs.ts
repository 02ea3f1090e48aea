/** The reports of runs that several processes have computed, shard by shard. */
import { dividedCells, type TextResult, type TextRunPlan, textResult } from './eval/evaluate-text.ts';
import { type LawPlan, lawCells, lawResult, type MeasuredLaw } from './measure/measure-texts.ts';
import { type MethodPlan, type MethodStudy, methodCells, methodResult, methodStudyJson } from './methods/study.ts';
import type { Cell, ResultOf } from './results/cell.ts';
import { checkComplete, mergeResults } from './results/merge.ts';
import { type TaskRunPlan, type TasksResult, tasksResult } from './tasks/evaluate-tasks.ts';
import { taskCells } from './tasks/task-cells.ts';

/** A plan of any kind. */
export type RunPlan = TextRunPlan | TaskRunPlan | LawPlan | MethodPlan;

/** What merged runs have found: those that there are. */
export interface MergedRuns {
  text?: TextResult;
  tasks?: TasksResult;
  law?: MeasuredLaw;
  methods?: MethodStudy;
}

/** What a kind of run is divided into, and what its results make. */
interface RunKind<Plan> {
  cells(plan: Plan): readonly Cell[] | undefined;
  result(plan: Plan, resultOf: ResultOf): Promise<unknown>;
  /** The result as plain data, where it is not already. */
  json?(result: unknown): object;
}

const RUN_KINDS: { [Kind in RunPlan['kind']]: RunKind<Extract<RunPlan, { kind: Kind }>> } = {
  text: { cells: dividedCells, result: textResult },
  tasks: { cells: taskCells, result: tasksResult },
  law: { cells: lawCells, result: lawResult },
  methods: { cells: methodCells, result: methodResult, json: (study) => methodStudyJson(study as MethodStudy) },
};

/** All cells of a run; undefined where each result decides what is computed next. */
export const cellsOf = (plan: RunPlan): readonly Cell[] | undefined => RUN_KINDS[plan.kind].cells(plan as never);

/** The result of a run as plain data, by the results of its cells. */
export async function resultOfRun(plan: RunPlan, resultOf: ResultOf): Promise<unknown> {
  const kind = RUN_KINDS[plan.kind];
  const result = await kind.result(plan as never, resultOf);
  return kind.json?.(result) ?? result;
}

/**
 * Merges the files of all shards of a run, and makes its result: that of one process which had computed everything. With
 * `save` the results are written into one file, equal for equal results. Throws `results-incomplete` where cells are
 * missing, and as `mergeResults`.
 */
export async function mergeRuns(paths: readonly string[], save?: string): Promise<MergedRuns> {
  const merged = await mergeResults(paths);
  const plans = merged.plans as readonly RunPlan[];
  for (const plan of plans) checkComplete(merged, cellsOf(plan) ?? []);
  const results = await Promise.all(
    plans.map(async (plan) => [plan.kind, await RUN_KINDS[plan.kind].result(plan as never, merged.resultOf)]),
  );
  if (save !== undefined) await merged.write(save);
  return Object.fromEntries(results) as MergedRuns;
}
