/** `keysieve bench`: what attention costs and how exact it is, one subcommand for each thing that is measured. */
import { writeFile } from 'node:fs/promises';
import type { ScalingReport } from '@keysieve/lab';
import {
  benchAttention,
  benchQuantizedCaches,
  benchScaling,
  formatSpread,
  formatTable,
  machineOf,
  type PolicyResult,
  type QuantizedResult,
  readCapture,
  versionsOf,
} from '@keysieve/lab';
import { Command } from 'commander';
import type { PolicySpec, Precision } from 'keysieve';
import {
  addJsonOption,
  addPolicyOptions,
  cachePrecisionOption,
  type PolicyFlags,
  parseMassShare,
  parsePositiveInteger,
  parsePositiveIntegers,
  policySpec,
  policySpecs,
  rejectEvictingPolicies,
} from '../options.ts';
import { abortOnInterrupt, createProgress, formatCount, formatShare, note } from '../terminal.ts';
import { memoryCommand } from './bench-memory.ts';
import { reportCommand } from './bench-report.ts';
import { decodeCommand, prefillCommand } from './bench-speed.ts';
import { stepsCommand } from './bench-steps.ts';

interface Options extends PolicyFlags {
  captures: string;
  lastQueries: number;
  stride: number;
  certify?: number;
  cachePrecision?: Precision;
  ladder?: boolean;
  plot?: string;
  json?: boolean;
}

export function benchCommand(): Command {
  const command = new Command('bench').description(
    'measures attention, alone and in a model, against other ways and other engines',
  );
  const benchCommands = [attentionCommand, decodeCommand, prefillCommand, scalingCommand, stepsCommand, memoryCommand];
  for (const subcommand of [...benchCommands, reportCommand]) command.addCommand(subcommand());
  return command;
}

/** Policies and budgets of the plot. */
const LADDER: PolicyFlags = {
  policy: ['sieve', 'int8-means', 'topk-means', 'topk', 'sign', 'quest', 'window'],
  budget: ['fixed:64', 'fixed:128', 'fixed:256', 'fixed:512', 'fixed:1024'],
};

function attentionCommand(): Command {
  const command = new Command('attention').description('error, bytes and time of policies on captured heads');
  command
    .requiredOption('--captures <file>', 'safetensors file of queries, keys and values of real heads')
    .option('--last-queries <count>', 'queries of each head, counted back from the last one', parsePositiveInteger, 128)
    .option('--stride <count>', 'use every Nth query', parsePositiveInteger, 1)
    .option('--certify <share>', 'certify that at most this share of the softmax stays unread', parseMassShare)
    .addOption(cachePrecisionOption())
    .option('--ladder', 'all policies over a ladder of budgets, for the plot')
    .option('--plot <file>', 'draw error against bytes into this SVG file');
  addPolicyOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run(options: Options): Promise<void> {
  const { captures, lastQueries, stride, certify, cachePrecision, plot, json } = options;
  const specs = rejectEvictingPolicies(policySpecs(options.ladder ? { ...LADDER, ...options } : options)).map(
    (spec): PolicySpec => (certify === undefined || spec.policy === 'dense' ? spec : { ...spec, certify }),
  );
  const { signal, release } = abortOnInterrupt();
  const progress = createProgress('measuring', 'policies and heads');
  try {
    const heads = await readCapture(captures);
    const results = await benchAttention({
      heads,
      policies: specs,
      lastQueries,
      stride,
      signal,
      ...(cachePrecision !== undefined && { precision: cachePrecision }),
      onProgress: (_head, done, total) => progress.update(done, total),
    });
    progress.stop();
    const caches = plot === undefined ? [] : benchQuantizedCaches({ heads, lastQueries, stride: Math.max(stride, 8) });
    if (plot !== undefined) {
      // Plots are a large import, which only this needs.
      const { plotErrorAgainstBytes } = await import('@keysieve/lab/plot');
      const keys = formatCount(Math.max(...heads.map(({ n }) => n)));
      await writeFile(plot, plotErrorAgainstBytes(results, caches, `${heads.length} heads, ${keys} keys`));
      note(`The plot is in ${plot}.`);
    }
    process.stdout.write(json ? `${JSON.stringify(jsonOf(results, caches))}\n` : `${describe(results, caches)}\n`);
  } finally {
    progress.stop();
    release();
  }
}

/** One policy as DESIGN has it, several as a list. */
function jsonOf(results: readonly PolicyResult[], caches: readonly QuantizedResult[]): object {
  const [first] = results;
  return results.length === 1 ? { ...first, caches } : { policies: results, caches };
}

function describe(results: readonly PolicyResult[], caches: readonly QuantizedResult[]): string {
  const rows = results.map(({ policy, budget, summary }) => [
    policy,
    budget ?? '',
    summary.outputError.mean.toPrecision(3),
    summary.outputError.p95.toPrecision(3),
    formatCount(summary.keysExact),
    formatCount(summary.keysQuantized),
    summary.bytesPerKey.toFixed(1),
    String(summary.violations),
    formatSpread(summary.speedup.f32, 2),
    formatSpread(summary.speedup.f16, 2),
    summary.calibration === null
      ? 'certified'
      : `${summary.calibration.ratio.toFixed(2)}, ${formatShare(summary.calibration.withinTwice)}`,
  ]);
  for (const { name, bytesPerKey, outputError } of caches) {
    rows.push([name, '', outputError.toPrecision(3), '', '', '', bytesPerKey.toFixed(1), '', '', '', '']);
  }
  const speed = ['against dense f32', 'against dense f16'];
  const names = [
    'policy',
    'budget',
    'error',
    'p95',
    'keys',
    'by codes',
    'bytes/key',
    'violations',
    ...speed,
    'true/estimated, within 2x',
  ];
  return [formatTable(names, rows), ...results.flatMap(({ policy, summary }) => describeCertify(policy, summary))].join(
    '\n',
  );
}

function describeCertify(policy: string, { certify }: PolicyResult['summary']): string[] {
  if (certify === null) return [];
  const { share, certifiedWithoutExtension, keysExact, oracleKeys, ratio, looseness } = certify;
  const bound = looseness === null ? '' : `; the bound on the output error is ${looseness.toFixed(1)}x the error`;
  return [
    `${policy}, certified to ${share}: ${formatShare(certifiedWithoutExtension)} held at once; ${formatCount(keysExact)} keys read, ` +
      `the oracle needs ${formatCount(oracleKeys)} (${ratio.toFixed(3)}x)${bound}`,
  ];
}

interface ScalingCommandOptions {
  policy: string;
  lengths: number[];
  headDim: number;
  group: number;
  json?: boolean;
}

function scalingCommand(): Command {
  const command = new Command('scaling').description('time of a step against the number of keys, on one thread');
  command
    .option('-a, --policy <policy>', 'POLICY or POLICY@BUDGET', 'sieve@fixed:256')
    .option(
      '--lengths <counts>',
      'keys',
      parsePositiveIntegers,
      [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072],
    )
    .option('--head-dim <count>', 'dimension of a head, a multiple of 8', parsePositiveInteger, 64)
    .option('--group <count>', 'query heads that share the key-value head', parsePositiveInteger, 3);
  addJsonOption(command);
  return command.action((options: ScalingCommandOptions) => runScaling(options));
}

async function runScaling({ policy, json, ...options }: ScalingCommandOptions): Promise<void> {
  const [spec] = rejectEvictingPolicies([policySpec(policy)]) as [PolicySpec];
  const { signal, release } = abortOnInterrupt();
  const progress = createProgress('measuring', 'lengths');
  try {
    const result = await benchScaling({
      ...options,
      policy: spec,
      signal,
      onProgress: (done, total) => progress.update(done, total),
    });
    progress.stop();
    const report: ScalingReport = { bench: 'scaling', versions: versionsOf(), machine: machineOf(), ...result };
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${describeScaling(report)}\n`);
  } finally {
    progress.stop();
    release();
  }
}

function describeScaling(report: ScalingReport): string {
  const { policy, budget, headDim, group, machine, versions, lengths, exponents } = report;
  const title = `${policy}${budget === null ? '' : ` ${budget}`}, ${group} query heads on a key-value head of ${headDim}`;
  const machineText = `one thread of ${machine.processor}, ${machine.cores} cores, Node ${versions.node}`;
  const names = [
    'keys',
    'ms',
    'dense f16',
    'dense f32',
    ...Object.keys(lengths[0]?.operators ?? {}),
    'against f16',
    'against f32',
    'against ONNX',
    'exactly',
    'by codes',
    'bytes/key',
    'error',
  ];
  const rows = lengths.map(({ n, ms, operators, speedup, ...row }) => [
    formatCount(n),
    ...[ms.policy, ms.f16, ms.f32, ...Object.values(operators)].map(({ median }) => median.toFixed(3)),
    formatSpread(speedup.f16, 2),
    formatSpread(speedup.f32, 2),
    formatSpread(speedup.onnx, 2),
    formatCount(row.keysExact),
    formatCount(row.keysQuantized),
    row.bytesPerKey.toFixed(1),
    row.outputError.policy.toPrecision(2),
  ]);
  const fittedLines =
    exponents === null
      ? []
      : [
          `time grows as n^${exponents.policy.toFixed(2)} from 8,192 keys on, dense as n^${exponents.f16.toFixed(2)} (f16) ` +
            `and n^${exponents.f32.toFixed(2)} (f32); keys read exactly as n^${exponents.exactKeys.toFixed(2)}`,
        ];
  return [`${title}; ${machineText}`, formatTable(names, rows), ...fittedLines].join('\n');
}
