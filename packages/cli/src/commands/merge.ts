/** `keysieve merge`: the report of a run whose shards were computed apart, as `eval`, `measure` or `methods` give it. */
import { mergeRuns } from '@keysieve/lab';
import { Command } from 'commander';
import { addJsonOption } from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { showEvaluation } from './eval.ts';
import { showLaw } from './measure.ts';
import { showMethods } from './methods.ts';

interface Options {
  save?: string;
  law?: string;
  out?: string;
  report?: string;
  plot?: string;
  json?: boolean;
}

export function mergeCommand(): Command {
  const command = new Command('merge').description('the report of a run whose shards were computed apart');
  command
    .argument('<files...>', 'files that the shards of one run have written with --save')
    .option('--save <file>', 'write all results into this one file')
    .option('--report <file>', 'write a report into this HTML file')
    .option('--plot <file>', 'eval of tasks: draw a heat map of places by lengths into this SVG file')
    .option('--law <file>', 'measure: write the law into this file')
    .option('--out <file>', 'measure: write a report into this HTML file; methods: a Markdown document');
  addJsonOption(command);
  return command.action(run);
}

async function run(files: string[], options: Options): Promise<void> {
  const { save, report, plot, law: lawPath, out } = options;
  await checkOutputs({ '--report': report, '--plot': plot, '--law': lawPath, '--out': out, '--save': save }, files);
  const { text, tasks, law, methods } = await mergeRuns(files, save);
  if (text !== undefined || tasks !== undefined) await showEvaluation({ text, tasks }, options);
  if (law !== undefined) await showLaw(law, options);
  if (methods !== undefined) await showMethods(methods, options);
}
