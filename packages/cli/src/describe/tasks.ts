/** The result of `keysieve eval --task`, as a table. */
import { formatCount, formatLength, formatShare, formatTable, mean, specName, type TasksResult } from '@keysieve/lab';

/** Scores of the policies: a column for each length, or for each task where there are several. */
export function describeTasks({ policies, tasks, lengths }: TasksResult): string {
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
    row.msPerToken.toFixed(1),
  ]);
  const names = ['policy', 'budget', 'prefill', 'all right', 'score', ...columns, 'keys', 'share', 'ms'];
  return formatTable(names, rows);
}
