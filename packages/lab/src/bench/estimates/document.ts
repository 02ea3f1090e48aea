/** The table of estimates as a document. */
import type { EstimateResult } from './estimates.ts';
import { describeEstimates, estimatesTable } from './table.ts';

/** `docs/estimates.md`. */
export function estimatesDocument(results: readonly EstimateResult[]): string {
  const { names, rows } = estimatesTable(results);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const failing = results.filter(({ summary }) => !summary.holds);
  const low = failing.filter(({ summary }) => summary.withinTwice < 0.95);
  const high = failing.filter(({ summary }) => summary.ratio > 3);
  return `# How true estimated errors are

Made by \`npm run bench:estimates\`: do not edit. Each row is one output of one head; its true error is that against full attention in
float64 over the same cache, its estimate what the step said. *Answer* is one position at a time, *prompt* a block of 64
positions that share a sample. [\`error-estimate.ts\`](../packages/core/src/sieve/error-estimate.ts) has the formula.

![True error against estimated error](estimates.svg)

${[names, names.map(() => '---'), ...rows].map(line).join('\n')}

${describeEstimates(results)}

${listOf('Too low, the true error above twice the estimate in more than 5 % of the rows', low)}
${listOf('Too high, more than three times the true error in the median', high)}
An estimate is one of its own row: a miss that comes in fewer than one row of twenty is left out of it, though it may be most of the mean
of the true errors. Where one key, or a few, are nearly all of the softmax, most rows are far more exact than their estimate, and the
others miss such a key.
`;
}

const listOf = (what: string, results: readonly EstimateResult[]): string =>
  results.length === 0 ? '' : `${what}: ${results.map(({ set, reading }) => `${set} (${reading})`).join('; ')}.\n`;
