/** `keysieve bench steps`: time of a model's tokens against their positions. */

import type { StepsReport } from '@keysieve/lab';
import { benchSteps, describeLargestJump, formatTable, machineOf, stepsTable, versionsOf } from '@keysieve/lab';
import { Command } from 'commander';
import {
  type AttentionFlags,
  addAttentionOptions,
  addJsonOption,
  addModelOptions,
  attentionSpec,
  type ModelFlags,
  parsePositiveInteger,
} from '../options.ts';
import { abortOnInterrupt, createProgress } from '../terminal.ts';
import { loadForBench, takeTokens } from './bench-speed.ts';

interface StepsCommandOptions extends ModelFlags, AttentionFlags {
  text: string;
  tokens: number;
  turns: number;
  json?: boolean;
}

export function stepsCommand(): Command {
  const command = new Command('steps').description('time of a token against its position, in bins of 256');
  command
    .requiredOption('--text <file>', 'the text')
    .option('--tokens <count>', 'the last position', parsePositiveInteger, 16_384)
    .option(
      '--turns <count>',
      'times that neighbouring bins are timed in turn, 8 tokens each',
      parsePositiveInteger,
      6,
    );
  addAttentionOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action(runSteps);
}

async function runSteps(options: StepsCommandOptions): Promise<void> {
  const { signal, release } = abortOnInterrupt();
  const progress = createProgress('reading and decoding', 'tokens');
  try {
    const { model, text } = await loadForBench(options, options.tokens, signal);
    await using _ = model;
    const tokens = takeTokens(
      model.tokenizer.encode(text, { special: false }),
      { text: options.text, offset: 0 },
      options.tokens,
    );
    const result = await benchSteps({
      model,
      attention: attentionSpec(options),
      tokens,
      turns: options.turns,
      signal,
      onProgress: (done, total) => progress.update(done, total),
    });
    progress.stop();
    const about = { model: model.name, threads: model.threads, versions: versionsOf(), machine: machineOf() };
    const report: StepsReport = { bench: 'steps', ...about, ...result };
    process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${describeSteps(report)}\n`);
  } finally {
    progress.stop();
    release();
  }
}

function describeSteps(result: StepsReport): string {
  const { names, rows } = stepsTable(result);
  return `${formatTable(names, rows)}\n${describeLargestJump(result)}`;
}
