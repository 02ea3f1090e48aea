/** `keysieve methods`: systems of the literature, their claims tried on planted data, and what they do on real heads. */
import { basename } from 'node:path';
import {
  type MethodStudy,
  methodDocument,
  methodReport,
  methodStudyJson,
  prepareMethods,
  writeOutput,
} from '@keysieve/lab';
import { Command } from 'commander';
import { addJsonOption, collect, parseWholeNumber } from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { addShardOptions, checkShard, runOrShard, type ShardFlags } from '../shards.ts';
import { printResult, table } from '../tables.ts';
import { note, withProgress } from '../terminal.ts';

interface Options extends ShardFlags {
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
    .option('--report <file>', 'write an HTML page with pictures');
  addShardOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run(options: Options): Promise<void> {
  const { captures = [], method = [], seed, out, report, save } = options;
  checkShard(options);
  await checkOutputs({ '--out': out, '--report': report, '--save': save }, captures);
  await withProgress(async (work) => {
    const files = captures.map((path) => ({ name: basename(path), path }));
    const study = await prepareMethods({ captures: files, methods: method, seed, ...work });
    const found = await runOrShard(study, options, work);
    if (found !== undefined) await showMethods(found, options);
  });
}

/** Writes the files that are asked for, and prints the outcome. */
export async function showMethods(
  study: MethodStudy,
  { out, report, json }: Pick<Options, 'out' | 'report' | 'json'>,
): Promise<void> {
  if (out !== undefined) {
    await writeOutput(out, `${methodDocument(study)}\n`);
    note(`The document is ${out}.`);
  }
  if (report !== undefined) {
    await writeOutput(report, await methodReport(study));
    note(`The report is ${report}.`);
  }
  printResult(json, methodStudyJson(study), () => describe(study));
  if (!json && study.captures.length === 0) {
    note('Only planted data were tried: give --captures FILE to try real heads too.');
  }
}

function describe({ results, captures }: MethodStudy): string {
  const rows = results.map(({ method: { name }, planted, failing, readings }) => [
    name,
    planted.holds ? 'holds' : 'does not hold',
    failing.holds ? 'holds, and should not' : 'fails, as it must',
    readings[0]?.reading.verdict ?? '',
  ]);
  return table(['method', 'planted claim', 'where it must fail', captures.length > 0 ? 'on real heads' : ''], rows);
}
