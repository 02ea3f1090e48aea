/** `keysieve claims`: what is claimed about sparse attention, tried on Gaussian inputs and on captures of a real model. */

import { basename, dirname, join } from 'node:path';
import { type ClaimsStudy, claimsDocument, claimsJson, studyClaims, VERDICT_TEXT, writeOutput } from '@keysieve/lab';
import { Command } from 'commander';
import { addJsonOption, collect, parsePositiveInteger, parseWholeNumber } from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { printResult, table } from '../tables.ts';
import { note, withProgress } from '../terminal.ts';

interface Options {
  captures?: string[];
  stride: number;
  seed: number;
  out?: string;
  json?: boolean;
}

export function claimsCommand(): Command {
  const command = new Command('claims').description(
    'tries what is claimed about sparse attention, and says what holds',
  );
  command
    .option(
      '--captures <file>',
      'safetensors file of heads of a real model, as keysieve capture writes it; may be given again',
      collect,
    )
    .option('--stride <count>', 'use every Nth captured query', parsePositiveInteger, 4)
    .option('--seed <number>', 'another seed draws other Gaussian inputs', parseWholeNumber, 1)
    .option('--out <file>', 'write a Markdown document, and its figures into a folder beside it');
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run({ captures = [], stride, seed, out, json }: Options): Promise<void> {
  if (out !== undefined) await checkOutputs({ '--out': out, figures: join(figureFolder(out), 'figure.svg') }, captures);
  const study = await withProgress((work) => studyClaims({ captures, stride, seed, ...work }));
  if (out !== undefined) await writeDocument(study, out);
  printResult(json, claimsJson(study), () => describe(study));
  if (!json && captures.length === 0) {
    note('Only Gaussian inputs were tried: give --captures FILE to try a real model too.');
  }
}

/** Writes the document, and its figures into a folder beside it. */
async function writeDocument(study: ClaimsStudy, path: string): Promise<void> {
  // Plots are a large import, which only this needs.
  const { plotCurves } = await import('@keysieve/lab/plot');
  const folder = figureFolder(path);
  await writeOutput(path, `${claimsDocument(study, basename(folder))}\n`);
  for (const figure of study.judged.flatMap(({ outcome }) => outcome.figures)) {
    await writeOutput(join(folder, `${figure.name}.svg`), plotCurves(figure));
  }
  note(`The document is ${path}, its figures are in ${folder}.`);
}

/** claims.md has its figures in claims/. */
const figureFolder = (path: string): string => join(dirname(path), basename(path).replace(/\.[^.]*$/, ''));

function describe({ judged }: ClaimsStudy): string {
  const rows = judged.map(({ claim, outcome: { holds, results } }) => [
    claim.title,
    VERDICT_TEXT[holds],
    `${results.filter((result) => result.holds).length} of ${results.length}`,
  ]);
  return table(['claim', 'answer', 'results that hold'], rows);
}
