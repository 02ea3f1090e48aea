/** `keysieve bench steps`: time of a model's tokens against their positions. */

import type { StepsReport } from '@keysieve/lab';
import { benchSteps, describeLargestJump, machineOf, stepsTable, takeTokens, versionsOf } from '@keysieve/lab';
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
import { printResult, table } from '../tables.ts';
import { withProgress } from '../terminal.ts';
import { loadForBench } from './bench-speed.ts';

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
    .option('--turns <count>', 'times that neighbouring bins take turns, 8 tokens each', parsePositiveInteger, 6);
  addAttentionOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action(runSteps);
}

async function runSteps(options: StepsCommandOptions): Promise<void> {
  await withProgress(async (work) => {
    const { model, text } = await loadForBench(options, options.tokens, work.signal);
    await using _ = model;
    const tokens = takeTokens(model.tokenizer.encode(text.content, { special: false }), {
      name: text.name,
      offset: 0,
      count: options.tokens,
    });
    const result = await benchSteps({
      model,
      attention: attentionSpec(options),
      tokens,
      turns: options.turns,
      ...work,
    });
    const report: StepsReport = {
      bench: 'steps',
      ...result,
      model: model.name,
      threads: model.threads,
      versions: versionsOf(),
      machine: machineOf(),
    };
    printResult(options.json, report, () => describeSteps(report));
  });
}

function describeSteps(result: StepsReport): string {
  const { names, rows } = stepsTable(result);
  return `${table(names, rows)}\n${describeLargestJump(result)}`;
}
