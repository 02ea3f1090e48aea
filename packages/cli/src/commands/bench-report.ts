/** `keysieve bench report`: the page on performance, from what the other benchmarks have printed. */
import { performancePage, readInput, readReport, writeOutput } from '@keysieve/lab';
import { Command } from 'commander';
import { checkOutputs } from '../outputs.ts';
import { note } from '../terminal.ts';

export function reportCommand(): Command {
  const command = new Command('report').description('writes a page on performance from the JSON of other benchmarks');
  command
    .argument('<files...>', 'output of keysieve bench decode, prefill, scaling, steps with --json')
    .option('--out <file>', 'the page, in Markdown', 'docs/performance.md');
  return command.action(run);
}

async function run(files: string[], { out }: { out: string }): Promise<void> {
  await checkOutputs({ '--out': out }, files);
  const reports = [];
  for (const file of files) reports.push(readReport(await readInput(file), file));
  await writeOutput(out, performancePage(reports));
  note(`The page is in ${out}.`);
}
