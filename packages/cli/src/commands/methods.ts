/** `keysieve methods`: systems of the literature, their claims tried on planted data, and what they do on real heads. */

import { formatTable, methodDocument, methodReport, methodStudyJson, runMethodStudy, writeOutput } from '@keysieve/lab';
import { printableJson } from '@keysieve/llm';
import { Command } from 'commander';
import { addJsonOption, collect, parseWholeNumber } from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { abortOnInterrupt, createProgress, note, print } from '../terminal.ts';

interface Options {
  captures?: string[];
  method?: string[];
  seed: number;
  out?: string;
  report?: string;
  json?: boolean;
}

export function methodsCommand(): Command {
  const command = new Command('methods').description(
    'tries systems of the literature: their claims on planted data, and what they do on captured heads',
  );
  command
    .option('--captures <file>', 'safetensors file of heads of a real model; may be given again', collect)
    .option('--method <name>', 'try this one only; may be given again', collect)
    .option('--seed <number>', 'another seed plants other data', parseWholeNumber, 1)
    .option('--out <file>', 'write a Markdown document')
    .option('--report <file>', 'write an HTML page with pictures')
    .addHelpText('after', '\nExample:\n  keysieve methods --captures heads.safetensors --report methods.html');
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run({ captures = [], method = [], seed, out, report, json }: Options): Promise<void> {
  await checkOutputs({ '--out': out, '--report': report }, captures);
  const { signal, release } = abortOnInterrupt();
  const progress = createProgress('trying', 'methods');
  try {
    const study = await runMethodStudy({
      captures,
      methods: method,
      seed,
      signal,
      onProgress: (done, total) => progress.update(done, total),
    });
    progress.stop();
    if (out !== undefined) {
      await writeOutput(out, `${methodDocument(study)}\n`);
      note(`The document is ${out}.`);
    }
    if (report !== undefined) {
      await writeOutput(report, await methodReport(study));
      note(`The report is ${report}.`);
    }
    if (json) print(`${printableJson(methodStudyJson(study))}\n`);
    else {
      const rows = study.results.map(({ method: { name }, planted, failing, readings }) => [
        name,
        planted.holds ? 'holds' : 'does not hold',
        failing.holds ? 'holds, and should not' : 'fails, as it must',
        readings[0]?.reading.verdict ?? '',
      ]);
      const columns = ['method', 'planted claim', 'where it must fail', captures.length > 0 ? 'on real heads' : ''];
      print(`${formatTable(columns, rows)}\n`);
      if (captures.length === 0) note('Only planted data were tried: give --captures FILE to try real heads too.');
    }
  } finally {
    progress.stop();
    release();
  }
}
