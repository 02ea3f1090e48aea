/** `keysieve eval`: what policies cost in quality, against dense attention on the same text, and in tasks. */
import { writeFile } from 'node:fs/promises';
import type { QualityTarget } from '@keysieve/lab';
import { evalReport, MAX_NAMES, TASKS, taskOf } from '@keysieve/lab';
import { loadModel } from '@keysieve/llm';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Precision } from 'keysieve';
import { describeKeysFor, evaluateKeysFor } from '../eval/run-keys-for.ts';
import { describeTasks, evaluateTasks } from '../eval/run-tasks.ts';
import { describeText, evaluateTextFile } from '../eval/run-text.ts';
import { showLoading } from '../loading.ts';
import {
  addJsonOption,
  addModelOptions,
  addPolicyOptions,
  cachePrecisionOption,
  collect,
  type ModelFlags,
  type PolicyFlags,
  parsePositiveInteger,
  parsePositiveIntegers,
  parseWholeNumber,
} from '../options.ts';
import { abortOnInterrupt, note } from '../terminal.ts';

export interface EvalOptions extends ModelFlags, PolicyFlags {
  /** Names of tasks, and `text` for predictions on one. */
  task: string[];
  text?: string;
  tokens: number;
  evalTokens: number;
  auditTokens: number;
  timedSteps: number;
  offset: number;
  prefill?: string[];
  suggest?: number;
  suggestBy: QualityTarget['by'];
  /** Most KL divergence. */
  keysFor?: number;
  lengths: number[];
  depths: number;
  samples?: number;
  distractors: number;
  chat?: boolean;
  seed: number;
  save?: string;
  plot?: string;
  report?: string;
  cachePrecision?: Precision;
  json?: boolean;
}

const TEXT_TASK = 'text';
/** No word is in two names of facts. */
const MAX_DISTRACTORS = MAX_NAMES - 1;
/** Tokens of an answer for which a context has room beside a prompt. */
const ANSWER_ROOM = 256;

export function evalCommand(): Command {
  const command = new Command('eval').description('what policies cost: divergence from dense attention on a text');
  command
    .option(
      '--task <tasks>',
      `text (predictions on a text), or some of ${TASKS.map(({ name }) => name).join(', ')}`,
      parseTaskNames,
      [TEXT_TASK],
    )
    .option('--text <file>', 'the text; for tasks what surrounds their facts (default: the licence)')
    .option('--tokens <count>', 'tokens of context, those that are compared among them', parsePositiveInteger, 2048)
    .option('--eval-tokens <count>', 'tokens at its end that go through the policies', parsePositiveInteger, 128)
    .option(
      '--audit-tokens <count>',
      'of these, tokens whose attention outputs are compared with full attention',
      parsePositiveInteger,
      16,
    )
    .option('--timed-steps <count>', 'decoding steps that are timed', parsePositiveInteger, 8)
    .option('--offset <count>', 'tokens of the text to leave out at its beginning', parseWholeNumber, 0)
    .option(
      '--prefill <policy>',
      'POLICY@BUDGET that the context is read with (default: dense); may be given again',
      collect,
    )
    .option(
      '--suggest <kl>',
      'kl=LIMIT: the cheapest setting within this divergence from dense, of a ladder if none is given',
      parseKlLimit,
    )
    .addOption(new Option('--suggest-by <cost>', 'what is cheap').choices(['bytes', 'time']).default('bytes'))
    .option('--keys-for <kl>', 'kl=LIMIT: the keys that this divergence takes at each of --lengths', parseKlLimit)
    .option('--lengths <counts>', 'tasks: tokens of the prompts', parsePositiveIntegers, [2048, 4096, 8192])
    .option('--depths <count>', 'tasks: places of the fact, from the beginning to the end', parsePositiveInteger, 10)
    .option(
      '--samples <count>',
      'tasks: prompts for each length and place (default: 1), or for each length where places are random (default: 10)',
      parsePositiveInteger,
    )
    .option(
      '--distractors <count>',
      `recall: facts that are not asked for, at most ${MAX_DISTRACTORS}`,
      parseDistractors,
      0,
    )
    .option('--chat', "tasks: put questions into the model's chat template")
    .option('--seed <number>', 'the same seed gives the same prompts and intervals', parseWholeNumber, 1)
    .option('--save <file>', 'keep results in this file, and go on from what it has')
    .option('--plot <file>', 'tasks: draw a heat map, of places by lengths, into this SVG file')
    .option('--report <file>', 'write a page into this HTML file: the trade, all settings, layers, tasks')
    .addOption(cachePrecisionOption());
  addPolicyOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action(run);
}

async function run(options: EvalOptions): Promise<void> {
  const { context = contextFor(options), precision, threads, json, report, keysFor } = options;
  const { signal, release } = abortOnInterrupt();
  try {
    await using model = await loadModel(options.model, {
      ...(context === undefined ? {} : { context }),
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      ...showLoading(),
      signal,
    });
    if (keysFor !== undefined) {
      const keysResult = await evaluateKeysFor(model, { ...options, keysFor }, signal);
      process.stdout.write(`${json ? JSON.stringify(keysResult) : describeKeysFor(keysResult)}\n`);
      return;
    }
    const names = options.task.filter((name) => name !== TEXT_TASK);
    const text = includesText(options) ? await evaluateTextFile(model, options, signal) : undefined;
    const tasks = names.length > 0 ? await evaluateTasks(model, { ...options, task: names }, signal) : undefined;
    if (report !== undefined) {
      await writeFile(report, await evalReport({ text, tasks }));
      note(`The report is in ${report}.`);
    }
    const sections = [text && describeText(text), tasks && describeTasks(tasks)].filter((part) => part !== undefined);
    // Tasks that go with a text are a part of its result.
    const result = text && tasks ? { ...text, taskResults: tasks } : (text ?? tasks);
    process.stdout.write(`${json ? JSON.stringify(result) : sections.join('\n\n')}\n`);
  } finally {
    release();
  }
}

const includesText = ({ task }: EvalOptions): boolean => task.includes(TEXT_TASK);

/** The prompts of tasks tell how much context they need; a text has that of the model. */
const contextFor = (options: EvalOptions): number | undefined =>
  includesText(options) ? undefined : Math.max(...options.lengths) + ANSWER_ROOM;

/** needle,variables */
function parseTaskNames(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  try {
    for (const name of names) if (name !== TEXT_TASK) taskOf(name);
    return names;
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function parseDistractors(text: string): number {
  const count = parseWholeNumber(text);
  if (count > MAX_DISTRACTORS) throw new InvalidArgumentError(`There are names for ${MAX_DISTRACTORS}.`);
  return count;
}

/** kl=0.01 */
function parseKlLimit(text: string): number {
  const limit = Number(/^kl=(.+)$/.exec(text)?.[1]);
  if (!(limit > 0)) throw new InvalidArgumentError('It is written kl=LIMIT, with a limit above 0, such as kl=0.01.');
  return limit;
}
