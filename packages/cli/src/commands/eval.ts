/** `keysieve eval`: what policies cost in quality, against full attention on the same text, and in tasks. */
import { basename } from 'node:path';
import {
  describeKeysFor,
  describeTasks,
  describeText,
  evalReport,
  evaluateKeysFor,
  MAX_NAMES,
  type NamedText,
  prepareTasks,
  prepareText,
  type QualityTarget,
  TASKS,
  type TasksResult,
  type TextResult,
  taskOf,
  threadsOfResults,
  type Work,
  withLawBudget,
  writeOutput,
} from '@keysieve/lab';
import { llmError, loadModel, type Model, readPromptFile, SCANS, type Scan } from '@keysieve/llm';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { PolicySpec, Precision } from 'keysieve';
import { checkLoadedLaw, DEFAULT_TARGET, loadLaw } from '../law-options.ts';
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
  policySpec,
  policySpecs,
} from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { addShardOptions, checkShard, runOrShard, type ShardFlags } from '../shards.ts';
import { printResult } from '../tables.ts';
import { note, withProgress } from '../terminal.ts';

interface EvalOptions extends ModelFlags, PolicyFlags, ShardFlags {
  /** Names of tasks, and `text` for predictions on a text. */
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
  /** The KL divergence that is tolerated. */
  keysFor?: number;
  lengths: number[];
  depths: number;
  samples?: number;
  distractors: number;
  chat?: boolean;
  seed: number;
  plot?: string;
  report?: string;
  cachePrecision?: Precision;
  scan: Scan;
  json?: boolean;
}

const TEXT_TASK = 'text';
/** One of the names is asked for. */
const MAX_DISTRACTORS = MAX_NAMES - 1;
/** Tokens of context for an answer, beside those of the prompt. */
const ANSWER_ROOM = 256;

export function evalCommand(): Command {
  const command = new Command('eval').description(
    'what policies cost: divergence from full attention on a text, and answers to tasks',
  );
  command
    .option(
      '--task <tasks>',
      `text (predictions on a text), or some of ${TASKS.map(({ name }) => name).join(', ')}`,
      parseTaskNames,
      [TEXT_TASK],
    )
    .option('--text <file>', 'the text; for tasks the text around their facts (default: the licence)')
    .option('--tokens <count>', 'tokens of the text, the compared ones among them', parsePositiveInteger, 2048)
    .option('--eval-tokens <count>', 'tokens at the end that go through the policies', parsePositiveInteger, 128)
    .option(
      '--audit-tokens <count>',
      'compared tokens whose attention outputs are compared with full attention',
      parsePositiveInteger,
      16,
    )
    .option('--timed-steps <count>', 'decoding steps that are timed; 0 times nothing', parseWholeNumber, 8)
    .option('--offset <count>', 'tokens to skip at the beginning of the text', parseWholeNumber, 0)
    .option('--prefill <policy>', 'POLICY@BUDGET that reads the context (default: dense); may be given again', collect)
    .option(
      '--suggest <kl>',
      'kl=LIMIT: suggest the cheapest setting within this divergence, of a ladder if no budget is given',
      parseKlLimit,
    )
    .addOption(new Option('--suggest-by <cost>', 'what counts as cheap').choices(['bytes', 'time']).default('bytes'))
    .option('--keys-for <kl>', 'kl=LIMIT: count the keys that this divergence takes at each of --lengths', parseKlLimit)
    .option('--lengths <counts>', 'tasks: tokens of the prompts', parsePositiveIntegers, [2048, 4096, 8192])
    .option(
      '--depths <count>',
      'tasks: places of the fact, evenly from the beginning to the end',
      parsePositiveInteger,
      10,
    )
    .option(
      '--samples <count>',
      'tasks: prompts for each length and place (default: 1; 10 where places are random)',
      parsePositiveInteger,
    )
    .option(
      '--distractors <count>',
      `recall: other facts that are not asked for, at most ${MAX_DISTRACTORS}`,
      parseDistractors,
      0,
    )
    .option('--chat', "tasks: put questions into the model's chat template")
    .option('--seed <number>', 'the same seed gives the same prompts and intervals', parseWholeNumber, 1)
    .option('--plot <file>', 'tasks: draw a heat map of places by lengths into this SVG file')
    .option('--report <file>', 'write a report into this HTML file')
    .addOption(cachePrecisionOption())
    .addOption(
      new Option('--scan <what>', 'what the sieve scans keys by (docs/decisions/16-scan-basis.md)')
        .choices(SCANS)
        .default('signs'),
    );
  addShardOptions(command);
  addPolicyOptions(command);
  addModelOptions(command);
  addJsonOption(command);
  return command.action(run);
}

async function run(options: EvalOptions): Promise<void> {
  const { context = contextFor(options), precision, verify, report, save, plot } = options;
  checkShard(options, { precision, threads: options.threads });
  checkDivisible(options);
  await checkOutputs({ '--save': save, '--plot': plot, '--report': report }, [
    options.text,
    options.law,
    options.model,
  ]);
  await withProgress(async (work) => {
    // Results depend on them, so that an interrupted run goes on with those that it has begun with.
    const threads = options.threads ?? (save === undefined ? undefined : await threadsOfResults(save));
    const loading = { context, precision, threads, verify, ...showLoading(), signal: work.signal };
    await using model = await loadModel(options.model, loading);
    if (options.keysFor !== undefined) {
      const result = await countKeys(model, { ...options, keysFor: options.keysFor }, work);
      printResult(options.json, result, (width) => describeKeysFor(result, width));
      return;
    }
    const text = includesText(options) ? await compareOnText(model, options, work) : undefined;
    const tasks = options.task.some((name) => name !== TEXT_TASK) ? await askTasks(model, options, work) : undefined;
    if (options.shard === undefined) await showEvaluation({ text, tasks }, options);
  });
}

/** Writes the files that are asked for, and prints the result. */
export async function showEvaluation(
  { text, tasks }: { text?: TextResult | undefined; tasks?: TasksResult | undefined },
  { plot, report, json }: Pick<EvalOptions, 'plot' | 'report' | 'json'>,
): Promise<void> {
  if (plot !== undefined && tasks !== undefined) {
    // Plots are a large import, which only this needs.
    const { plotRecall } = await import('@keysieve/lab/plot');
    await writeOutput(plot, plotRecall(tasks.answers));
    note(`The heat map is in ${plot}.`);
  }
  if (report !== undefined) {
    await writeOutput(report, await evalReport({ text, tasks }));
    note(`The report is in ${report}.`);
  }
  // Tasks that go with a text are a part of its result.
  const result = text && tasks ? { ...text, taskResults: tasks } : (text ?? tasks);
  printResult(json, result, (width) =>
    [text && describeText(text, width), tasks && describeTasks(tasks, width)]
      .filter((part) => part !== undefined)
      .join('\n\n'),
  );
}

/** Throws `invalid-argument` for a share of what is computed step by step. */
function checkDivisible({ shard, keysFor }: EvalOptions): void {
  if (shard === undefined || keysFor === undefined) return;
  throw llmError({
    code: 'invalid-argument',
    problem: 'The keys for a divergence are searched for, each step by the one before it: there are no shards of that.',
    found: '--shard with --keys-for',
    remedy: 'Leave one of them out.',
  });
}

/** Policies with their laws applied, checked against the model. */
async function openSpecs(model: Model, options: EvalOptions, specs: readonly PolicySpec[], signal: AbortSignal) {
  const prefillSpecs = (options.prefill ?? ['dense']).map(policySpec);
  const loaded = await loadLaw(options.law, [...specs, ...prefillSpecs]);
  await checkLoadedLaw(loaded, model, signal);
  const withLaw = (spec: PolicySpec) => withLawBudget(spec, loaded?.law);
  return { policies: specs.map(withLaw), prefills: prefillSpecs.map(withLaw) };
}

async function compareOnText(model: Model, options: EvalOptions, work: Work): Promise<TextResult | undefined> {
  const target = options.suggest === undefined ? undefined : { kl: options.suggest, by: options.suggestBy };
  const climbsLadder = target !== undefined && options.budget === undefined;
  const specs = climbsLadder ? [] : policySpecs(options);
  const { policies, prefills } = await openSpecs(model, options, specs, work.signal);
  const { tokens, offset, evalTokens, auditTokens, timedSteps, seed, cachePrecision, scan } = options;
  const run = await prepareText({
    model,
    text: await readText(options),
    tokens,
    offset,
    evalTokens,
    auditTokens,
    timedSteps,
    seed,
    cachePrecision,
    scan,
    target,
    prefills,
    policies: climbsLadder ? undefined : policies,
    ladder: options.policy,
    ...work,
  });
  return runOrShard(run, options, work);
}

async function askTasks(model: Model, options: EvalOptions, work: Work): Promise<TasksResult | undefined> {
  const { policies, prefills } = await openSpecs(model, options, policySpecs(options), work.signal);
  const { lengths, depths, samples, distractors, chat, seed, cachePrecision, scan } = options;
  const run = await prepareTasks({
    model,
    tasks: options.task.filter((name) => name !== TEXT_TASK),
    lengths,
    depths,
    samples,
    distractors,
    chat: chat ?? false,
    seed,
    cachePrecision,
    scan,
    policies,
    prefills,
    filler: options.text === undefined ? undefined : await readText(options),
    ...work,
  });
  return runOrShard(run, options, work);
}

/** The keys for a divergence, with the file of the law. */
async function countKeys(model: Model, options: EvalOptions & { keysFor: number }, work: Work) {
  const { keysFor, evalTokens, offset, lengths, save, cachePrecision, policy: policies = ['sieve'] } = options;
  const [policy = ''] = policies;
  if (policies.length > 1) {
    throw llmError({
      code: 'invalid-argument',
      problem: 'Keys are counted for one policy, whose budgets are tried.',
      found: policies.join(', '),
      remedy: 'Give one --policy.',
    });
  }
  const needsLaw = { policy, budget: DEFAULT_TARGET };
  const loaded = options.law === undefined ? undefined : await loadLaw(options.law, [needsLaw]);
  await checkLoadedLaw(loaded, model, work.signal);
  const result = await evaluateKeysFor({
    model,
    text: await readText(options),
    offset,
    lengths,
    evalTokens,
    maxKl: keysFor,
    policy,
    law: loaded?.law,
    save,
    cachePrecision,
    ...work,
  });
  return { ...result, lawFile: loaded?.path ?? null };
}

async function readText({ text: path }: EvalOptions): Promise<NamedText> {
  if (path !== undefined) return { name: basename(path), content: await readPromptFile(path) };
  throw llmError({
    code: 'invalid-argument',
    problem: 'No text was given.',
    remedy: 'Give --text FILE, or --task with tasks that make their own.',
  });
}

const includesText = ({ task }: EvalOptions): boolean => task.includes(TEXT_TASK);

/** Tasks need the context of their longest prompt; a text has that of the model. */
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
  if (count > MAX_DISTRACTORS) throw new InvalidArgumentError(`Must be at most ${MAX_DISTRACTORS}.`);
  return count;
}

/** kl=0.01 */
function parseKlLimit(text: string): number {
  const limit = Number(/^kl=(.+)$/.exec(text)?.[1]);
  if (!(limit > 0)) throw new InvalidArgumentError('Write kl=LIMIT with a limit above 0, such as kl=0.01.');
  return limit;
}
