/** `keysieve eval`: what policies cost in quality, against dense attention on the same text, and in tasks. */
import { loadModel } from '@keysieve/llm';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Precision } from 'keysieve';
import { MOST_OTHERS } from '../eval/recall.ts';
import { runRecall } from '../eval/run-recall.ts';
import { describeText, evaluateTextFile } from '../eval/run-text.ts';
import type { Wish } from '../eval/suggest.ts';
import { showLoading } from '../loading.ts';
import {
  addJsonOption,
  addModelOptions,
  addPolicyOptions,
  cachePrecisionOption,
  collect,
  type ModelOptions,
  type PolicyOptions,
  positiveInteger,
  positiveIntegers,
  wholeNumber,
} from '../options.ts';
import { abortOnInterrupt } from '../terminal.ts';

export interface EvalOptions extends ModelOptions, PolicyOptions {
  task: 'text' | 'recall';
  text?: string;
  tokens: number;
  last: number;
  audit: number;
  timed: number;
  offset: number;
  prefill?: string[];
  suggest?: number;
  suggestBy: Wish['by'];
  lengths: number[];
  depths: number;
  samples: number;
  others: number;
  seed: number;
  save?: string;
  plot?: string;
  cachePrecision?: Precision;
  json?: boolean;
}

export function evalCommand(): Command {
  const command = new Command('eval').description('what policies cost: divergence from dense attention on a text');
  command
    .addOption(
      new Option('--task <task>', 'text: predictions on a text; recall: facts in a long text')
        .choices(['text', 'recall'])
        .default('text'),
    )
    .option('--text <file>', 'the text; for recall what surrounds the facts (default: this licence)')
    .option('--tokens <count>', 'tokens of context, those that are compared among them', positiveInteger, 2048)
    .option('--last <count>', 'tokens at its end that go through the policies', positiveInteger, 128)
    .option('--audit <count>', 'of these, tokens whose outputs are compared with dense ones', positiveInteger, 16)
    .option('--timed <count>', 'decoding steps that are timed', positiveInteger, 8)
    .option('--offset <count>', 'tokens of the text to leave out at its beginning', wholeNumber, 0)
    .option(
      '--prefill <policy>',
      'POLICY@BUDGET that the context is read with (default: dense); may be given again',
      collect,
    )
    .option(
      '--suggest <kl>',
      'kl=LIMIT: the cheapest setting within this divergence from dense, of a ladder if none is given',
      klLimit,
    )
    .addOption(new Option('--suggest-by <cost>', 'what is cheap').choices(['bytes', 'time']).default('bytes'))
    .option('--lengths <counts>', 'recall: tokens of the prompts', positiveIntegers, [2048, 4096, 8192])
    .option('--depths <count>', 'recall: places of the fact, from the beginning to the end', positiveInteger, 10)
    .option('--samples <count>', 'recall: prompts for each length and depth', positiveInteger, 1)
    .option('--others <count>', `recall: facts that are not asked for, at most ${MOST_OTHERS}`, otherFacts, 0)
    .option('--seed <number>', 'the same seed gives the same prompts and intervals', wholeNumber, 1)
    .option('--save <file>', 'keep results in this file, and go on from what it has')
    .option('--plot <file>', 'recall: draw a heat map into this SVG file')
    .addOption(cachePrecisionOption());
  addPolicyOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: EvalOptions) => (options.task === 'recall' ? runRecall(options) : run(options)));
}

async function run(options: EvalOptions): Promise<void> {
  const { context, precision, threads, json } = options;
  const { signal, release } = abortOnInterrupt();
  try {
    await using model = await loadModel(options.model, {
      ...(context === undefined ? {} : { context }),
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      ...showLoading(),
      signal,
    });
    const result = await evaluateTextFile(model, options, signal);
    process.stdout.write(`${json ? JSON.stringify(result) : describeText(result)}\n`);
  } finally {
    release();
  }
}

function otherFacts(text: string): number {
  const count = wholeNumber(text);
  if (count > MOST_OTHERS) throw new InvalidArgumentError(`There are names for ${MOST_OTHERS}.`);
  return count;
}

/** kl=0.01 */
function klLimit(text: string): number {
  const limit = Number(/^kl=(.+)$/.exec(text)?.[1]);
  if (!(limit > 0)) throw new InvalidArgumentError('It is written kl=LIMIT, with a limit above 0, such as kl=0.01.');
  return limit;
}
