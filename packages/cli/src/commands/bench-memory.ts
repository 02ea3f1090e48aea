/** `keysieve bench memory`: memory of a long context, by planes, and of a process whose cache is full. */

import type { MemoryReport } from '@keysieve/lab';
import { benchMemory, formatSpread, formatTable, machineOf, versionsOf } from '@keysieve/lab';
import { Command, InvalidArgumentError, Option } from 'commander';
import { PRECISIONS, type Precision } from 'keysieve';
import {
  type AttentionFlags,
  addAttentionOptions,
  addJsonOption,
  addModelOptions,
  attentionSpec,
  type ModelFlags,
} from '../options.ts';
import { abortOnInterrupt, createProgress, formatBytes, formatCount } from '../terminal.ts';

interface MemoryCommandOptions extends ModelFlags, AttentionFlags {
  cachePrecision?: Precision[];
  json?: boolean;
}

export function memoryCommand(): Command {
  const command = new Command('memory').description(
    'what a token takes with every set of planes, and what a process holds whose cache is full',
  );
  command.addOption(
    new Option(
      '--cache-precision <precision>',
      `of a cache that is filled: ${PRECISIONS.join(', ')}; may be given again (default: int8)`,
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
  if (precision === undefined) throw new InvalidArgumentError(`It must be ${PRECISIONS.join(', ')}.`);
  return [...previous, precision];
}

/** Keys of a full cache, where --context does not say. */
const TOKENS = 131_072;

async function runMemory(options: MemoryCommandOptions): Promise<void> {
  const { model, context: tokens = TOKENS, precision, threads, cachePrecision = ['int8'], json } = options;
  const { signal, release } = abortOnInterrupt();
  const progress = createProgress('filling', 'tokens');
  try {
    const result = await benchMemory({
      model,
      tokens,
      attention: attentionSpec(options),
      precisions: cachePrecision,
      signal,
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      onFill: (done, total) => progress.update(done, total),
    });
    progress.stop();
    const report: MemoryReport = { bench: 'memory', ...result, versions: versionsOf(), machine: machineOf() };
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${describeMemory(report)}\n`);
  } finally {
    progress.stop();
    release();
  }
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
    formatTable(['cache', 'policy', 'planes', 'bytes a token'], encodingRows),
    '',
    `${model}, ${threads} threads, ${formatCount(tokens)} tokens`,
    formatTable(['policy', 'cache', 'its bytes', 'process, predicted', 'process', 'ms of attention'], filledRows),
  ].join('\n');
}
