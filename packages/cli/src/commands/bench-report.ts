/** `keysieve bench report`: the page on performance, from what the other benchmarks have printed. */
import { readFile } from 'node:fs/promises';
import { performancePage, readReport, writeOutput } from '@keysieve/lab';
import { KeysieveError } from '@keysieve/llm';
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
  for (const file of files) reports.push(readReport(await readFileText(file), file));
  await writeOutput(out, performancePage(reports));
  note(`The page is in ${out}.`);
}

async function readFileText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new KeysieveError({
      code: 'file-not-found',
      problem: 'The file cannot be read.',
      found: `${path} (${(cause as NodeJS.ErrnoException).code ?? cause})`,
      remedy: 'Check the path and that you may read the file.',
      cause,
    });
  }
}
