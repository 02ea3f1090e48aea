/** `keysieve claims`: what is claimed about sparse attention, tried on Gaussian inputs and on captures of a real model. */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { documentOf, formatTable, jsonOf, runStudy, VERDICT_TEXT } from '@keysieve/lab';
import { Command } from 'commander';
import { addJsonOption, collect, parsePositiveInteger, parseWholeNumber } from '../options.ts';
import { abortOnInterrupt, createProgress, note, type Progress } from '../terminal.ts';

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
    .option('--captures <file>', 'safetensors file of heads of a real model; may be given again', collect)
    .option('--stride <count>', 'use every Nth captured query', parsePositiveInteger, 4)
    .option('--seed <number>', 'another seed draws other Gaussian inputs', parseWholeNumber, 1)
    .option('--out <file>', 'write a Markdown document, and its figures into a folder beside it');
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run({ captures = [], stride, seed, out, json }: Options): Promise<void> {
  const { signal, release } = abortOnInterrupt();
  const bars = new Map<string, Progress>();
  try {
    const { setting, judged } = await runStudy({
      captures,
      stride,
      seed,
      signal,
      onProgress(what, done, total) {
        const bar = bars.get(what) ?? createProgress(what, '');
        bars.set(what, bar);
        bar.update(done, total);
        if (done >= total) bar.stop();
      },
    });
    if (out !== undefined) {
      // Plots are a large import, which only this needs.
      const { plotCurves } = await import('@keysieve/lab/plot');
      const folder = basename(out).replace(/\.[^.]*$/, '');
      await mkdir(join(dirname(out), folder), { recursive: true });
      await writeFile(out, `${documentOf(setting, judged, folder)}\n`);
      for (const figure of judged.flatMap(({ outcome }) => outcome.figures)) {
        await writeFile(join(dirname(out), folder, `${figure.name}.svg`), plotCurves(figure));
      }
      note(`The document is ${out}, its figures are in ${join(dirname(out), folder)}.`);
    }
    if (json) process.stdout.write(`${JSON.stringify(jsonOf(setting, judged))}\n`);
    else {
      const rows = judged.map(({ claim, outcome: { holds, results } }) => [
        claim.title,
        VERDICT_TEXT[holds],
        `${results.filter((result) => result.holds).length} of ${results.length}`,
      ]);
      process.stdout.write(`${formatTable(['claim', 'answer', 'results that hold'], rows)}\n`);
      if (captures.length === 0) note('Only Gaussian inputs were tried: give --captures FILE to try a real model too.');
    }
  } finally {
    for (const bar of bars.values()) bar.stop();
    release();
  }
}
