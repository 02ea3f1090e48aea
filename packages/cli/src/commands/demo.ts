/** `keysieve demo`: the point of it all in under a minute. Facts are hidden in a long text; one of them is asked for. */
import { type DemoResult, formatCount, formatShare, runDemo } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';
import { Command } from 'commander';
import { showLoading } from '../loading.ts';
import { addJsonOption, addModelOptions, type ModelFlags, parsePositiveInteger, parseWholeNumber } from '../options.ts';
import { printResult, table } from '../tables.ts';
import { withProgress } from '../terminal.ts';

interface Options extends ModelFlags {
  tokens: number;
  seed: number;
  json?: boolean;
}

/** Tokens of context for the answer. */
const ANSWER_ROOM = 16;

export function demoCommand(): Command {
  const command = new Command('demo').description(
    'a fact in a long text, asked for by full, sieve and window attention',
  );
  command
    .option('--tokens <count>', 'tokens of the text', parsePositiveInteger, 16_384)
    .option('--seed <number>', 'another seed hides other facts', parseWholeNumber, 3);
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run({ model: source, tokens, seed, context, precision, threads, verify, json }: Options): Promise<void> {
  await withProgress(async (work) => {
    await using model = await loadModel(source, {
      context: context ?? tokens + ANSWER_ROOM,
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      verify,
      ...showLoading(),
      signal: work.signal,
    });
    const result = await runDemo({ model, tokens, seed, ...work });
    printResult(json, result, () => describe(result));
  });
}

function describe({ answers, tokens, depth, readMs }: DemoResult): string {
  const number = answers[0]?.references[0] ?? '';
  const rows = answers.map(({ policy, budget, answer, right, keysExact, tailMass, outputError, kind, msPerToken }) => [
    policy,
    budget ?? '',
    answer.trim().slice(0, number.length),
    right ? 'right' : 'wrong',
    formatCount(keysExact.mean),
    formatShare(tailMass),
    outputError === null ? 'unknown' : formatShare(outputError),
    kind,
    msPerToken.toFixed(1),
  ]);
  const names = ['attention', 'budget', 'answer', '', 'exact keys', 'left out', 'error', 'figures', 'ms a token'];
  return [
    `${formatCount(tokens)} tokens were read in ${(readMs / 1000).toFixed(1)} s. A number was hidden ${formatShare(depth)} into them: ${number}.`,
    'Asked for at the end:',
    '',
    table(names, rows),
  ].join('\n');
}
