/** `keysieve eval`: what policies cost in quality, against dense attention on the same text. */
import { llmError, loadModel, readPromptFile } from '@keysieve/llm';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Precision, policyPlanes } from 'keysieve';
import { MOST_OTHERS } from '../eval/recall.ts';
import { runRecall } from '../eval/run-recall.ts';
import { evaluateText, type PolicyEvaluation, type TextEvaluation } from '../eval/text.ts';
import { showLoading } from '../loading.ts';
import {
  addJsonOption,
  addModelOptions,
  addPolicyOptions,
  cachePrecisionOption,
  collect,
  type ModelOptions,
  type PolicyOptions,
  policySpec,
  policySpecs,
  positiveInteger,
  positiveIntegers,
  wholeNumber,
} from '../options.ts';
import { formatTable } from '../table.ts';
import { abortOnInterrupt, createProgress, formatCount, formatShare, type Progress } from '../terminal.ts';

export interface EvalOptions extends ModelOptions, PolicyOptions {
  task: 'text' | 'recall';
  text?: string;
  tokens: number;
  last: number;
  offset: number;
  prefill?: string[];
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
    .option('--offset <count>', 'tokens of the text to leave out at its beginning', wholeNumber, 0)
    .option('--prefill <policy>', 'POLICY@BUDGET that reads the whole context; may be given again', collect)
    .option('--lengths <counts>', 'recall: tokens of the prompts', positiveIntegers, [2048, 4096, 8192])
    .option('--depths <count>', 'recall: places of the fact, from the beginning to the end', positiveInteger, 10)
    .option('--samples <count>', 'recall: prompts for each length and depth', positiveInteger, 1)
    .option('--others <count>', `recall: facts that are not asked for, at most ${MOST_OTHERS}`, otherFacts, 0)
    .option('--seed <number>', 'recall: the same seed gives the same prompts', wholeNumber, 1)
    .option('--save <file>', 'recall: keep answers in this file, and go on from what it has')
    .option('--plot <file>', 'recall: draw a heat map into this SVG file')
    .addOption(cachePrecisionOption());
  addPolicyOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: EvalOptions) => (options.task === 'recall' ? runRecall(options) : run(options)));
}

async function run(options: EvalOptions): Promise<void> {
  const { last, context, precision, threads, cachePrecision } = options;
  const policies = policySpecs(options);
  const prefills = (options.prefill ?? []).map(policySpec);
  const text = await readPromptFile(requireText(options));
  const { signal, release } = abortOnInterrupt();
  try {
    await using model = await loadModel(options.model, {
      ...(context === undefined ? {} : { context }),
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      ...showLoading(),
      signal,
    });
    const tokens = takeTokens(model.tokenizer.encode(text), options);
    const planes = [...policies, ...prefills].flatMap(policyPlanes);
    await using session = await model.createSession({ planes, cachePrecision });
    const bars = new Map<string, Progress>();
    const result = await evaluateText({
      model,
      session,
      tokens,
      last,
      policies,
      prefills,
      signal,
      onProgress(what, done, total) {
        const bar = bars.get(what) ?? createProgress(what, 'tokens');
        bars.set(what, bar);
        bar.update(done, total);
        if (done >= total) bar.stop();
      },
    });
    process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : `${describe(result)}\n`);
  } finally {
    release();
  }
}

function otherFacts(text: string): number {
  const count = wholeNumber(text);
  if (count > MOST_OTHERS) throw new InvalidArgumentError(`There are names for ${MOST_OTHERS}.`);
  return count;
}

function requireText({ text }: EvalOptions): string {
  if (text !== undefined) return text;
  throw llmError({
    code: 'invalid-argument',
    problem: 'There is no text.',
    remedy: 'Give --text FILE, or --task recall.',
  });
}

/** The tokens that were asked for. Throws `invalid-argument` where the text has fewer. */
function takeTokens(all: ArrayLike<number>, { text, tokens, last, offset }: EvalOptions): Int32Array {
  if (last + 1 >= tokens) {
    throw llmError({
      code: 'invalid-argument',
      problem: 'There must be context before the tokens that are compared.',
      found: `--last ${last} of --tokens ${tokens}`,
      remedy: 'Compare fewer tokens, or take more of the text.',
    });
  }
  if (offset + tokens > all.length) {
    throw llmError({
      code: 'invalid-argument',
      problem: `${text ?? 'The text'} is too short.`,
      found: `${all.length} tokens, of which ${offset + tokens} were asked for`,
      remedy: 'Lower --tokens or --offset, or give a longer text.',
    });
  }
  return Int32Array.from(all).subarray(offset, offset + tokens);
}

function describe({ tokens, last, dense, policies }: TextEvaluation): string {
  const head = `${formatCount(tokens)} tokens, the last ${formatCount(last)} compared; dense: nll ${dense.nll.toFixed(4)}`;
  const rows = policies.map((row) => [
    row.policy,
    row.budget ?? '',
    row.prefill,
    row.kl.mean.toPrecision(3),
    row.top1.toFixed(3),
    row.deltaNll.toFixed(4),
    errorOf(row),
    formatCount(row.keysRead),
    formatCount(row.keysCoded),
    row.bytesPerKey.toFixed(1),
    row.msPerToken.toFixed(1),
  ]);
  const names = ['policy', 'budget', 'prefill', 'KL', 'top-1', 'nll +', 'error', 'keys', 'by codes', 'bytes/key', 'ms'];
  return `${head}\n${formatTable(names, rows)}`;
}

const errorOf = ({ outputError, certificate }: PolicyEvaluation): string =>
  outputError.mean === null
    ? 'unknown'
    : `${certificate === 'certified' ? '<= ' : '~ '}${formatShare(outputError.mean)}`;
