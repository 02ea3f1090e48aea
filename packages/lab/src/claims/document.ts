/** The document about a study: every claim with its criterion, findings, tables and figures, all from the results. */
import type { Table } from './claim.ts';
import { type ClaimsStudy, type JudgedClaim, type StudySetting, VERDICT_TEXT } from './study.ts';

/** The document as Markdown. Its figures are files in `folder`, beside it: see `plotCurves`. */
export function claimsDocument({ setting, judged }: ClaimsStudy, folder: string): string {
  return [
    '# The claims, tried',
    'Made by `keysieve claims`: every figure below was computed in that run, and every answer follows from a criterion that stands in the code (`packages/lab/src/claims/`, one file for each claim). Do not edit.',
    summaryOf(judged),
    '## What was run',
    ...settingOf(setting),
    ...judged.flatMap((each) => sectionOf(each, folder)),
  ].join('\n\n');
}

const summaryOf = (judged: readonly JudgedClaim[]): string =>
  tableOf(
    ['claim', 'answer', 'results that hold'],
    judged.map(({ claim, outcome: { holds, results } }) => [
      `[${claim.title}](#${anchorOf(claim.title)})`,
      VERDICT_TEXT[holds],
      `${results.filter((result) => result.holds).length} of ${results.length}`,
    ]),
  );

function settingOf({ seed, gaussian, captures }: StudySetting): string[] {
  const lengths = gaussian.lengths.map((n) => n.toLocaleString('en-US')).join(', ');
  const files = captures.files.map((file) => file.replace(/.*\//, '')).join(', ');
  return [
    `- **Gaussian inputs**, as the theory has them: tokens of 64 independent standard normal numbers, query and key weights of bounded norm, so that the scores of a row have a spread of ${gaussian.spreads.join(', ')} nats or a little more. Values are either those of the same tokens, as in a model, or independent of the keys. ${gaussian.contexts} contexts with tokens and weights of their own, ${gaussian.queries} queries in each, ${lengths} keys (the first ones of the longest). Standard errors are over the contexts; the seed is ${seed}.`,
    captures.heads === 0
      ? '- **Captures**: none were given.'
      : `- **A real model**: ${captures.heads} query heads of ${files}, every ${captures.stride}th of their last queries. A shorter context is made of the first 4 keys, which heads use as sinks, and the most recent ones up to the query, so that distances are right and nothing comes after the query. It is a stand-in: the keys and the query come from a model that had read all of the text, and for one query the keys that are needed can hardly become fewer as older ones are added: whether they stay the same is what can be seen here. What contexts that are really shorter need is measured by \`keysieve measure\`. Queries of one text resemble each other, and blocks of them count as repetitions here, so the standard errors are, if anything, too small.`,
    '- **Three things called sparsity** are kept apart: the number of entries above an absolute threshold, the share of the softmax that the largest entries leave out, and the error of the output. The selected entries are always the true largest, the softmax is taken over them alone, and nothing stands in for the rest.',
    '- **Three standard errors** are asked for before a figure counts as above or below a bound.',
  ].reduce<string[]>((list, item) => (list.length === 0 ? [item] : [`${list[0]}\n${item}`]), []);
}

function sectionOf({ claim, outcome }: JudgedClaim, folder: string): string[] {
  return [
    `## ${claim.title}`,
    `**Claim.** ${claim.statement}`,
    `**Holds if** ${claim.criterion.charAt(0).toLowerCase()}${claim.criterion.slice(1)}`,
    `**Answer: ${VERDICT_TEXT[outcome.holds]}** (${outcome.results.filter(({ holds }) => holds).length} of ${outcome.results.length} results).`,
    outcome.findings.map((finding) => `- ${finding}`).join('\n'),
    ...outcome.figures.flatMap(({ name, title }) => [`![${title}](${folder}/${name}.svg)`, `*${title}.*`]),
    ...outcome.tables.map(({ caption, columns, rows }: Table) => `${caption}:\n\n${tableOf(columns, rows)}`),
  ];
}

const tableOf = (columns: readonly string[], rows: readonly (readonly string[])[]): string =>
  [columns, columns.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');

/** As GitHub names headings. */
const anchorOf = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\- ]/gu, '')
    .replaceAll(' ', '-');
