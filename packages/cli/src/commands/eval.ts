/** `keysieve eval`: what policies cost in quality, against dense attention on the same text. */
import { llmError, loadModel, readPromptFile } from '@keysieve/llm';
import { Command } from 'commander';
import { policyPlanes } from 'keysieve';
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
  wholeNumber,
} from '../options.ts';
import { formatTable } from '../table.ts';
import { abortOnInterrupt, createProgress, formatCount, formatShare, type Progress } from '../terminal.ts';

interface Options extends ModelOptions, PolicyOptions {
  text: string;
  tokens: number;
  last: number;
  offset: number;
  prefill?: string[];
  cachePrecision?: 'f16' | 'f32';
  json?: boolean;
}

export function evalCommand(): Command {
  const command = new Command('eval').description('what policies cost: divergence from dense attention on a text');
  command
    .requiredOption('--text <file>', 'the text')
    .option('--tokens <count>', 'tokens of context, those that are compared among them', positiveInteger, 2048)
    .option('--last <count>', 'tokens at its end that go through the policies', positiveInteger, 128)
    .option('--offset <count>', 'tokens of the text to leave out at its beginning', wholeNumber, 0)
    .option('--prefill <policy>', 'POLICY@BUDGET that reads the whole context; may be given again', collect)
    .addOption(cachePrecisionOption());
  addPolicyOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run(options: Options): Promise<void> {
  const { last, context, precision, threads, cachePrecision } = options;
  const policies = policySpecs(options);
  const prefills = (options.prefill ?? []).map(policySpec);
  const text = await readPromptFile(options.text);
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

/** The tokens that were asked for. Throws `invalid-argument` where the text has fewer. */
function takeTokens(all: ArrayLike<number>, { text, tokens, last, offset }: Options): Int32Array {
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
      problem: `${text} is too short.`,
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
