/** The page on performance, from the JSON that the benchmarks print: no figure of it is typed by hand. */
import { KeysieveError } from 'keysieve';
import { formatBytes, formatCount, formatShare, formatSpread } from '../format/format.ts';
import type { Machine, Versions } from './machine.ts';
import type { BenchReport, MemoryReport, ScalingReport, SpeedReport, StepsReport } from './reports.ts';
import { speedTable } from './speed-table.ts';
import { describeLargestJump, stepsTable } from './steps-table.ts';

/** A report from its JSON. Throws `invalid-file`. */
export function readReport(json: string, path: string): BenchReport {
  let value: { bench?: unknown } | null;
  try {
    value = JSON.parse(json);
  } catch {
    value = null;
  }
  if (typeof value?.bench === 'string' && Object.hasOwn(SECTIONS, value.bench)) return value as BenchReport;
  throw new KeysieveError({
    code: 'invalid-file',
    problem: `${path} is not what a benchmark has printed.`,
    found: value === null ? 'no JSON' : `bench: ${JSON.stringify(value.bench)}`,
    remedy: `Give files with the output of keysieve bench ${Object.keys(SECTIONS).join(', ')} with --json.`,
  });
}

/** The page, in Markdown. */
export function performancePage(reports: readonly BenchReport[]): string {
  return [
    '# Performance',
    'Made by `keysieve bench report` from what `keysieve bench` has printed; nothing here is typed by hand. The sides of',
    'a comparison take turns in one process. What counts are the ratios; in parentheses are the quartiles of the rounds.',
    'Times of different tables do not compare. Processor times are those of all threads together.',
    ...reports.flatMap((report) => ['', sectionOf(report)]),
    '',
  ].join('\n');
}

const SECTIONS = {
  decode: speedSection,
  prefill: speedSection,
  scaling: scalingSection,
  steps: stepsSection,
  memory: memorySection,
};

function sectionOf(report: BenchReport): string {
  const section = SECTIONS[report.bench] as (report: BenchReport) => string;
  return section(report);
}

function speedSection({ model, text, threads, precision, ...report }: SpeedReport): string {
  const { names, rows } = speedTable(report, {
    separator: ' ',
    timeShares: {
      name: 'attention / rest',
      of: ({ attention, rest }) => `${formatShare(attention)} / ${formatShare(rest)}`,
    },
  });
  return [
    `## ${report.bench === 'decode' ? 'Decoding' : 'Reading a prompt'}`,
    '',
    `${model}, ${text}, ${threads} threads, dense layers ${precision}. ${madeWith(report)}`,
    '',
    table(names, rows),
  ].join('\n');
}

function scalingSection({ policy, budget, headDim, group, lengths, exponents, ...environment }: ScalingReport): string {
  const rows = lengths.map(({ n, ms, operators, speedup, outputError, bytesPerKey }) => [
    formatCount(n),
    ...[ms.policy, ms.f16, ms.f32, ...Object.values(operators)].map(({ median }) => median.toFixed(3)),
    ...[speedup.f16, speedup.f32, speedup.onnx].map((ratio) => formatSpread(ratio, 2)),
    bytesPerKey.toFixed(1),
    outputError.policy.toPrecision(2),
  ]);
  const names = [
    'keys',
    `${policy} ${budget ?? ''}`,
    'dense f16',
    'dense f32',
    ...Object.keys(lengths[0]?.operators ?? {}),
    'f16 / ours',
    'f32 / ours',
    'ONNX / ours',
    'bytes/key',
    'error',
  ];
  const fits = Object.entries(exponents ?? {}).map(([name, c]) => `${name} ${c.toFixed(2)}`);
  return [
    `## The attention alone, heads of ${headDim} dimensions`,
    '',
    `Milliseconds of the processor for one step of one layer, ${group} query heads on a key-value head, on one thread, over`,
    "random keys that no processor cache holds. ONNX is the faster one of ONNX Runtime's",
    `operators, over floats. ${madeWith(environment)}`,
    '',
    table(names, rows),
    '',
    `Exponents of n from 8,192 keys on: ${fits.length > 0 ? fits.join(', ') : 'too few lengths'}.`,
  ].join('\n');
}

function stepsSection(report: StepsReport): string {
  const { model, threads } = report;
  const { names, rows } = stepsTable(report);
  return [
    '## A token by its position',
    '',
    `${model}, ${threads} threads. Each bin is timed in turns with the one before it. ${madeWith(report)}`,
    '',
    describeLargestJump(report),
    '',
    table(names, rows),
  ].join('\n');
}

function memorySection({ model, threads, tokens, encodingSets, filled, ...environment }: MemoryReport): string {
  const encodingRows = encodingSets.map(({ precision, policy, encodings, bytesPerToken }) => [
    precision,
    policy,
    encodings.join(', '),
    formatCount(bytesPerToken),
  ]);
  const filledRows = filled.map(({ attention, precision, bytes, predictedBytes, residentBytes, peakBytes, stepMs }) => [
    attention.policy,
    precision,
    ...[bytes, predictedBytes, residentBytes, peakBytes].map(formatBytes),
    formatSpread(stepMs, 1),
  ]);
  return [
    '## Memory',
    '',
    `${model}: bytes of a token in a cache, by how its rows are kept and what a policy reads beside them.`,
    '',
    table(['cache', 'policy', 'planes', 'bytes a token'], encodingRows),
    '',
    `With ${formatCount(tokens)} tokens of random rows, ${threads} threads: the cache with the buffers of the attention,`,
    `and the whole process, as \`inspect\` predicts it, as it is and at its peak. ${madeWith(environment)}`,
    '',
    table(['policy', 'cache', 'its bytes', 'predicted', 'process', 'peak', 'ms of attention'], filledRows),
  ].join('\n');
}

function madeWith({ versions, machine }: { versions: Versions; machine: Machine }): string {
  const { processor, cores, memoryBytes, load } = machine;
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `Made with ${list.join(', ')}; on ${processor}, ${cores} cores, ${formatBytes(memoryBytes)}, where ${load} processes ` +
    'wanted a core at the end.'
  );
}

function table(names: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(names), line(names.map(() => '---')), ...rows.map(line)].join('\n');
}
