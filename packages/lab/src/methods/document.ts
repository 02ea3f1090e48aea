/** docs/methods.md: every system with its claim, the planted test, its readings and its place, all from the results. */
import { type Figure, type PlantedOutcome, short, type Table } from './method.ts';
import type { MethodResult, MethodStudy } from './study.ts';

/** The document as Markdown. */
export function methodDocument({ seed, captures, results }: MethodStudy): string {
  const files = captures.map(
    ({ file, heads, keys }) => `${file} (${heads} query heads, ${keys.toLocaleString('en-US')} keys)`,
  );
  return [
    '# The systems of the literature, tried',
    'Made by `keysieve methods`: every figure and every verdict below was computed in that run; criteria and bounds stand in ' +
      'the code (`packages/lab/src/methods/`, one file a paper). Do not edit.',
    overview(results),
    '## What was run',
    [
      `- **Planted data**, made from the seed ${seed}, on which the central claim of a paper can be true or false; and an input, or a substitute, on which it must fail.`,
      `- **Captures**: ${files.length === 0 ? 'none were given.' : `${files.join('; ')}. The error is ||o' - o|| / ||o||, the mean over heads and queries.`}`,
      "- **Evictions**: the prompt ends 96 tokens before the end; its last 32 queries may be looked at, the 96 after it are tested, and what comes after the prompt is kept. Memory is counted in keys' worth: one key and value of 2 bytes a number.",
    ].join('\n'),
    ...results.flatMap(sectionOf),
  ].join('\n\n');
}

const overview = (results: readonly MethodResult[]): string =>
  tableOf(
    ['method', 'planted claim', 'on input that must fail', 'place in the product'],
    results.map(({ method, planted, failing }) => [
      `[${method.name}](#${method.name})`,
      planted.holds ? 'holds' : 'does not hold',
      failing.holds ? 'holds, and should not' : 'fails, as it must',
      method.place.what,
    ]),
  );

function sectionOf({ method, planted, failing, readings }: MethodResult): string[] {
  return [
    `## ${method.name}`,
    `*${method.title}*, ${method.authors}, arXiv ${method.paper}.`,
    `**Claim.** ${method.statement}`,
    `**Holds if** ${method.criterion.charAt(0).toLowerCase()}${method.criterion.slice(1)}`,
    `**Planted: ${planted.holds ? 'it holds' : 'it does not hold'}.**`,
    figureTable(planted),
    ...planted.tables.map(captioned),
    `**With ${method.failing.what}: ${failing.holds ? 'it holds, and should not' : 'it fails, as it must'}.**`,
    figureTable(failing),
    ...readings.flatMap(({ captures, reading }) => [
      `### On ${captures}`,
      reading.verdict,
      ...(reading.findings.length > 0 ? [reading.findings.map((finding) => `- ${finding}`).join('\n')] : []),
      ...reading.tables.map(captioned),
    ]),
    `**Place**: ${method.place.what}`,
  ];
}

const boundText = ({ bound }: Figure): string => (bound === undefined ? '' : `${bound.relation} ${short(bound.value)}`);

const figureTable = ({ figures }: PlantedOutcome): string =>
  tableOf(
    ['figure', 'value', 'bound'],
    figures.map((figure) => [figure.name, short(figure.value), boundText(figure)]),
  );

const captioned = ({ caption, columns, rows }: Table): string => `${caption}:\n\n${tableOf(columns, rows)}`;

const tableOf = (columns: readonly string[], rows: readonly (readonly string[])[]): string =>
  [columns, columns.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
