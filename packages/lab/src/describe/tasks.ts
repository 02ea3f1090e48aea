/** The result of `keysieve eval --task`, as a table. */
import { specName } from '../eval/predictions.ts';
import { formatCount, formatLength, formatShare } from '../format/format.ts';
import { formatTable } from '../format/table.ts';
import { mean } from '../numerics/statistics.ts';
import type { PolicyScores, TasksResult, TaskTimes } from '../tasks/evaluate-tasks.ts';

/** Scores of the policies, in at most `width` columns of text: a column for each length, or for each task where there are several. */
export function describeTasks({ policies, tasks, lengths, times }: TasksResult, width: number): string {
  const columns = tasks.length === 1 ? lengths.map(formatLength) : tasks;
  const rows = policies.map((row) => [
    row.policy,
    row.budget ?? '',
    specName({ policy: row.prefill.policy, ...(row.prefill.budget !== null && { budget: row.prefill.budget }) }),
    `${row.right} of ${row.prompts}`,
    formatShare(row.score),
    ...(tasks.length === 1
      ? lengths.map((length) => formatShare(row.byLength[length] ?? 0))
      : tasks.map((task) => formatShare(mean(Object.values(row.byTask[task] ?? {}))))),
    formatCount(row.keysExact.mean),
    formatShare(row.keysExact.share),
    ...times.map((ofMachine) => formatMs(ofMachine, row)),
  ]);
  const names = [
    'policy',
    'budget',
    'prefill',
    'all right',
    'score',
    ...columns,
    'keys',
    'share',
    ...times.map(() => 'ms'),
  ];
  return formatTable(names, rows, { width });
}

/** The time of a token of a policy on one kind of machine. */
const formatMs = ({ policies }: TaskTimes, { policy, budget, prefill }: PolicyScores): string =>
  policies.find((row) => specKey(row) === specKey({ policy, budget, prefill }))?.msPerToken.toFixed(1) ?? '';

const specKey = ({ policy, budget, prefill }: Pick<PolicyScores, 'policy' | 'budget' | 'prefill'>): string =>
  JSON.stringify([policy, budget, prefill]);
