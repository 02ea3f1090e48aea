/** `keysieve measure`: the law of each head of a model on texts, as a file that sets budgets and a page to look at. */
import { basename } from 'node:path';
import {
  describeLaw,
  lawReport,
  type MeasuredLaw,
  type NamedText,
  prepareLaw,
  savedThreads,
  threadsOfResults,
  writeOutput,
} from '@keysieve/lab';
import { llmError, loadModel, readPromptFile } from '@keysieve/llm';
import { Command } from 'commander';
import { showLoading } from '../loading.ts';
import {
  addJsonOption,
  addModelOptions,
  collect,
  type ModelFlags,
  parsePositiveInteger,
  parsePositiveIntegers,
  parseWholeNumber,
} from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { addShardOptions, checkShard, runOrShard, type ShardFlags } from '../shards.ts';
import { printResult } from '../tables.ts';
import { note, withProgress } from '../terminal.ts';

interface Options extends ModelFlags, ShardFlags {
  text?: string[];
  tokens: number;
  offset: number;
  lengths?: number[];
  samples: number;
  seed: number;
  fitTo?: number;
  law?: string;
  out?: string;
  state?: string;
  json?: boolean;
}

export function measureCommand(): Command {
  const command = new Command('measure').description('the law alpha * n^C of each head of a model, on texts');
  command
    .option('--text <file>', 'the text; may be given again, for a law of all of them', collect)
    .option('--tokens <count>', 'tokens of each text to read', parsePositiveInteger, 8192)
    .option('--offset <count>', 'tokens to skip at the beginning of each text', parseWholeNumber, 0)
    .option('--lengths <counts>', 'context lengths (default: half powers of two, from 512 up)', parsePositiveIntegers)
    .option('--samples <count>', 'positions to sample for each length and text', parsePositiveInteger, 32)
    .option('--seed <number>', 'another seed samples other positions', parseWholeNumber, 1)
    .option('--fit-to <count>', 'fit laws to lengths up to this one only (default: to all)', parsePositiveInteger)
    .option('--law <file>', 'write the law into this file')
    .option('--out <file>', 'write a report into this HTML file')
    .option(
      '--state <file>',
      'keep what is measured in this file, and continue from it (default: beside the law or the report, until done)',
    );
  addShardOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run({ model: source, context, precision, verify, ...options }: Options): Promise<void> {
  const { tokens, offset, lengths, samples, seed, fitTo, law: lawPath, out, state } = options;
  const texts = await readTexts(options);
  const outputPath = lawPath ?? out;
  const { save: results } = options;
  const partial = results ?? outputPath;
  const save = state ?? (partial && `${partial}.partial`);
  checkShard(options, { precision, threads: options.threads });
  const outputs = { '--law': lawPath, '--out': out, '--state': save, '--save': results };
  await checkOutputs(outputs, [...(options.text ?? []), source]);
  await withProgress(async (work) => {
    const { signal } = work;
    // The law depends on them, so that an interrupted measurement goes on with those that it has begun with.
    const threads =
      options.threads ??
      (results === undefined ? undefined : await threadsOfResults(results)) ??
      (save === undefined ? undefined : await savedThreads(save));
    await using model = await loadModel(source, { context, precision, threads, verify, signal, ...showLoading() });
    const measurement = await prepareLaw({
      model,
      texts,
      tokens,
      offset,
      lengths,
      samples,
      seed,
      fittedTo: fitTo,
      save,
      keepSave: state !== undefined,
      ...work,
    });
    const measured = await runOrShard(measurement, options, work);
    if (measured !== undefined) await showLaw(measured, options);
  });
}

/** Writes the files that are asked for, and prints the law. */
export async function showLaw(
  measured: MeasuredLaw,
  { law: lawPath, out, json }: Pick<Options, 'law' | 'out' | 'json'>,
): Promise<void> {
  const { law } = measured;
  if (lawPath !== undefined) {
    await writeOutput(lawPath, `${JSON.stringify(law)}\n`);
    note(`The law is in ${lawPath}.`);
  }
  if (out !== undefined) {
    await writeOutput(out, await lawReport(law));
    note(`The report is ${out}.`);
  }
  printResult(json, jsonOf(measured), (width) => describeLaw(law, width));
}

async function readTexts({ text: paths = [] }: Pick<Options, 'text'>): Promise<NamedText[]> {
  if (paths.length === 0) {
    throw llmError({ code: 'invalid-argument', problem: 'No text was given.', remedy: 'Give --text FILE.' });
  }
  const texts: NamedText[] = [];
  for (const path of paths) texts.push({ name: basename(path), content: await readPromptFile(path) });
  return texts;
}

/** What --json prints: the file has more about each head. */
function jsonOf({ law, cost }: MeasuredLaw) {
  const { model, texts, settings, lengths, headline, extrapolation, summary } = law;
  const heads = law.heads.map(({ layer, head, kind, alpha, C, r2, interval, keys, ...more }) => ({
    layer,
    head,
    kind,
    alpha,
    C,
    r2,
    interval,
    keys,
    sinkMass: more.sinkMass,
    localMass: more.localMass,
    distanceShare: more.distanceShare,
    rank4Residual: more.rank4Residual,
  }));
  return { model, texts, settings, lengths, headline, heads, extrapolation, summary, cost };
}
