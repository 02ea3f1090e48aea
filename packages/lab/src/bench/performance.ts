/** The page on performance, from the JSON that the benchmarks print: no figure of it is typed by hand. */
import { labError } from '../errors.ts';
import type { NumberedReport, Question } from './performance-question.ts';
import { answerTable, firstTokensTable, promptTable } from './performance-speed.ts';
import { fallbackTable, growthTable, processMemoryTable, tokenMemoryTable } from './performance-tables.ts';
import type { BenchReport } from './reports.ts';

/** A report from its JSON. Throws `invalid-file`. */
export function readReport(json: string, path: string): BenchReport {
  let value: { bench?: unknown } | null;
  try {
    value = JSON.parse(json);
  } catch {
    value = null;
  }
  const isBench = BENCHES.some((bench) => bench === value?.bench);
  const fault = isBench ? faultOf(value as BenchReport) : undefined;
  if (isBench && fault === undefined) return value as BenchReport;
  throw labError({
    code: 'invalid-file',
    problem: `${path} is not the output of a benchmark.`,
    found: value === null ? 'no JSON' : (fault ?? `bench: ${JSON.stringify(value.bench)}`),
    remedy: `Give files with the output of keysieve bench ${BENCHES.join(', ')} with --json.`,
  });
}

const BENCHES: readonly BenchReport['bench'][] = ['decode', 'prefill', 'scaling', 'steps', 'memory'];

/** What is missing in a report: that of which no page can be made. */
function faultOf(report: BenchReport): string | undefined {
  try {
    performancePage([report]);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The page, in Markdown: one table a question, and at the end the runs that the figures are from. */
export function performancePage(reports: readonly BenchReport[]): string {
  const numbered = reports.map((report, i) => ({ ...report, run: i + 1 }));
  const of = <Bench extends BenchReport['bench']>(bench: Bench) =>
    numbered.filter(
      (report): report is NumberedReport<Extract<BenchReport, { bench: Bench }>> => report.bench === bench,
    );
  const speed = (bench: 'decode' | 'prefill') => numbered.flatMap((report) => (report.bench === bench ? [report] : []));
  const questions: Question[] = [
    promptTable(speed('prefill')),
    answerTable(speed('decode')),
    firstTokensTable(speed('decode')),
    growthTable(of('scaling')),
    fallbackTable(of('steps')),
    tokenMemoryTable(of('memory')),
    processMemoryTable(of('memory')),
  ];
  return [
    '# Performance',
    '',
    'Made by `keysieve bench report` from the JSON that `keysieve bench` prints; nothing here is typed by hand. The sides of',
    'a comparison take turns in one process, and a ratio is that of two times of one round: ratios count, times of different',
    'runs do not compare. In parentheses are the quartiles of the rounds. CPU times are those of all threads together. "Run"',
    'is the number in the list at the end.',
    ...questions.filter(({ rows }) => rows.length > 0).flatMap(sectionOf),
    '',
    '## What was it measured with?',
    '',
    ...numbered.map(describeRun),
    '',
  ].join('\n');
}

function sectionOf({ title, about, names, rows, notes = [] }: Question): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const table = [line(names), line(names.map(() => '---')), ...rows.map(line)];
  return ['', `## ${title}`, '', about, '', ...table, ...notes.flatMap((note) => ['', note])];
}

function describeRun({ run, bench, versions, machine, ...report }: NumberedReport): string {
  const { processor, cores, memoryBytes, load } = machine;
  const inputs = [
    'model' in report ? report.model : [],
    'text' in report ? report.text : [],
    'precision' in report ? `non-attention layers in ${report.precision}` : [],
    'threads' in report ? `${report.threads} threads` : 'one thread',
  ].flat();
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `${run}. \`keysieve bench ${bench}\`: ${inputs.join(', ')}; ${programs.join(', ')}; ${processor}, ${cores} cores, ` +
    `${Math.round(memoryBytes / 2 ** 30)} GiB, load average ${load} at the end`
  );
}
