/** `keysieve bench memory`: bytes of a token by encodings, and memory of a process whose cache is full. */

import type { MemoryReport } from '@keysieve/lab';
import { benchMemory, formatBytes, formatCount, formatSpread, machineOf, versionsOf } from '@keysieve/lab';
import { Command, InvalidArgumentError, Option } from 'commander';
import { PRECISIONS, type Precision } from 'keysieve';
import { showLoading } from '../loading.ts';
import {
  type AttentionFlags,
  addAttentionOptions,
  addJsonOption,
  addModelOptions,
  attentionSpec,
  type ModelFlags,
} from '../options.ts';
import { printResult, table } from '../tables.ts';
import { withProgress } from '../terminal.ts';

interface MemoryCommandOptions extends ModelFlags, AttentionFlags {
  cachePrecision?: Precision[];
  json?: boolean;
}

export function memoryCommand(): Command {
  const command = new Command('memory').description(
    'bytes of a token in the cache, and memory of a process whose cache is full',
  );
  command.addOption(
    new Option(
      '--cache-precision <precision>',
      `of the cache to fill: ${PRECISIONS.join(', ')}; may be given again (default: int8)`,
    )
      .choices(PRECISIONS)
      .argParser(parsePrecision),
  );
  addAttentionOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action(runMemory);
}

function parsePrecision(text: string, previous: Precision[] = []): Precision[] {
  const precision = PRECISIONS.find((name) => name === text);
  if (precision === undefined) throw new InvalidArgumentError(`Must be one of ${PRECISIONS.join(', ')}.`);
  return [...previous, precision];
}

/** Keys of a full cache without --context. */
const TOKENS = 131_072;

async function runMemory(options: MemoryCommandOptions): Promise<void> {
  const { model, context: tokens = TOKENS, precision, threads, verify, cachePrecision = ['int8'], json } = options;
  const result = await withProgress((work) =>
    benchMemory({
      model,
      load: { precision, threads, verify, ...showLoading() },
      tokens,
      attention: attentionSpec(options),
      precisions: cachePrecision,
      ...work,
    }),
  );
  const report: MemoryReport = { bench: 'memory', ...result, versions: versionsOf(), machine: machineOf() };
  printResult(json, report, () => describeMemory(report));
}

function describeMemory({ model, threads, tokens, encodingSets, filled }: MemoryReport): string {
  const encodingRows = encodingSets.map(({ precision, policy, encodings, bytesPerToken }) => [
    precision,
    policy,
    encodings.join(', '),
    formatCount(bytesPerToken),
  ]);
  const filledRows = filled.map(({ attention, precision, bytes, predictedBytes, residentBytes, stepMs }) => [
    attention.policy,
    precision,
    ...[bytes, predictedBytes, residentBytes].map(formatBytes),
    formatSpread(stepMs, 1),
  ]);
  return [
    table(['cache', 'policy', 'encodings', 'bytes a token'], encodingRows),
    '',
    `${model}, ${threads} threads, ${formatCount(tokens)} tokens`,
    table(['policy', 'cache', 'its bytes', 'process, predicted', 'process', 'ms of attention'], filledRows),
  ].join('\n');
}
