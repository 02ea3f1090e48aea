/**
 * `keysieve demo`: the point of it all in under a minute. Facts are hidden in a long text; one of them is asked for, and
 * dense, sieve and window attention answer from the same cache.
 */

import { answerTask, defaultFiller, formatTable, makePrompt, readPrompt, type TaskAnswer, taskOf } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';
import { Command } from 'commander';
import { type PolicySpec, policyEncodings } from 'keysieve';
import { showLoading } from '../loading.ts';
import { addJsonOption, addModelOptions, type ModelFlags, parsePositiveInteger, parseWholeNumber } from '../options.ts';
import { abortOnInterrupt, createProgress, formatCount, formatShare } from '../terminal.ts';

interface Options extends ModelFlags {
  tokens: number;
  seed: number;
  json?: boolean;
}

const POLICIES: readonly PolicySpec[] = [
  { policy: 'dense' },
  { policy: 'sieve', budget: 'fixed:256' },
  { policy: 'window', budget: 'fixed:1024' },
];
/** How the text is read: by blocks that share a sample, which is faster the longer it is. */
const PREFILL: PolicySpec = { policy: 'sieve', budget: 'fixed:256' };
/** Where the fact stands: far from the question. */
const DEPTH = 0.2;
const recall = taskOf('recall');
/** Facts that are stated too, and not asked for. */
const DISTRACTORS = 3;

export function demoCommand(): Command {
  const command = new Command('demo').description(
    'a fact in a long text, asked for by dense, sieve and window attention',
  );
  command
    .option('--tokens <count>', 'tokens of the text', parsePositiveInteger, 16_384)
    .option('--seed <number>', 'another seed hides other facts', parseWholeNumber, 3);
  addModelOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run({ model: source, tokens, seed, context, precision, threads, json }: Options): Promise<void> {
  const { signal, release } = abortOnInterrupt();
  const progress = createProgress('reading', 'tokens');
  try {
    await using model = await loadModel(source, {
      context: context ?? tokens + 16,
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      ...showLoading(),
      signal,
    });
    const encodings = [...POLICIES, PREFILL].flatMap(policyEncodings);
    await using session = await model.createSession({ encodings, denseFallback: false });
    const filler = await defaultFiller();
    const started = performance.now();
    let readMs = 0;
    const onRead = (done: number, total: number) => {
      progress.update(done, total);
      readMs = performance.now() - started;
    };
    const item = { task: recall.name, length: tokens, depth: DEPTH, repetition: 0 };
    const prompt = makePrompt(recall, item, { filler, seed, distractors: DISTRACTORS, chat: false }, model);
    const answering = { model, session, prefill: PREFILL, policies: POLICIES, signal, onRead };
    await readPrompt(answering, prompt);
    const answers: TaskAnswer[] = [];
    for (const spec of POLICIES) answers.push(await answerTask(answering, item, prompt, spec));
    progress.stop();
    if (json) process.stdout.write(`${JSON.stringify({ tokens, readMs, answers })}\n`);
    else process.stdout.write(`${describe(answers, tokens, readMs)}\n`);
  } finally {
    progress.stop();
    release();
  }
}

function describe(answers: readonly TaskAnswer[], tokens: number, readMs: number): string {
  const code = answers[0]?.references[0] ?? '';
  const rows = answers.map(({ policy, budget, answer, right, keysExact, tailMass, outputError, msPerToken }) => [
    policy,
    budget ?? '',
    answer.trim().slice(0, code.length),
    right ? 'right' : 'wrong',
    formatCount(keysExact.mean),
    formatShare(tailMass),
    outputError === null ? 'unknown' : formatShare(outputError),
    msPerToken.toFixed(1),
  ]);
  const names = ['attention', 'budget', 'answer', '', 'exact keys', 'left out', 'error', 'ms a token'];
  return [
    `${formatCount(tokens)} tokens were read in ${(readMs / 1000).toFixed(1)} s, ${formatShare(DEPTH)} into which a number was hidden: ${code}.`,
    'Asked for at the end:',
    '',
    formatTable(names, rows),
  ].join('\n');
}
