/** `keysieve bench scaling`: the time of a step of attention against the number of keys. */

import { benchScaling, formatCount, formatSpread, machineOf, type ScalingReport, versionsOf } from '@keysieve/lab';
import { Command } from 'commander';
import { addJsonOption, parsePositiveInteger, parsePositiveIntegers, policySpec } from '../options.ts';
import { printResult, table } from '../tables.ts';
import { withProgress } from '../terminal.ts';

interface Options {
  policy: string;
  lengths: number[];
  headDim: number;
  group: number;
  json?: boolean;
}

export function scalingCommand(): Command {
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
  return command.action((options: Options) => run(options));
}

async function run({ policy, json, ...options }: Options): Promise<void> {
  const result = await withProgress((work) => benchScaling({ ...options, policy: policySpec(policy), ...work }));
  const report: ScalingReport = { bench: 'scaling', versions: versionsOf(), machine: machineOf(), ...result };
  printResult(json, report, () => describeScaling(report));
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
    'f16 / time',
    'f32 / time',
    'ONNX / time',
    'exact',
    'quantized',
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
          `time grows as n^${exponents.policy.toFixed(2)} from 8,192 keys on, full attention as n^${exponents.f16.toFixed(2)} (f16) ` +
            `and n^${exponents.f32.toFixed(2)} (f32); keys read exactly as n^${exponents.exactKeys.toFixed(2)}`,
        ];
  return [`${title}; ${machineText}`, table(names, rows), ...fittedLines].join('\n');
}
