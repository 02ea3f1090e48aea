/** Options that several subcommands share, and how they are parsed. */
import { wrapLine } from '@keysieve/lab';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  BUDGETS,
  createPolicy,
  DEFAULT_BUDGET,
  isBudgetTarget,
  type PolicySpec,
  PRECISIONS,
  parseBudget,
  parseBudgetTarget,
  policyNames,
} from 'keysieve';
import { DEFAULT_TARGET, lawOption } from './law-options.ts';

export interface ModelFlags {
  model: string;
  context?: number;
  precision?: 'fp32' | 'a8' | 'w8a8';
  threads?: number;
  verify?: boolean;
}

export interface AttentionFlags {
  attention: string;
  budget?: string;
  law?: string;
  certify?: number;
}

/** --model, --context, --precision, --threads, --verify */
export function addModelOptions(command: Command): Command {
  return command
    .option('-m, --model <model>', 'PATH.gguf, nano (the embedded model), hf:OWNER/REPO[/FILE], or https://...', 'nano')
    .option(
      '--context <tokens>',
      "tokens of context; beyond the model's own, RoPE is extended (default: what the command needs, or the model's own)",
      parsePositiveInteger,
    )
    .addOption(
      new Option(
        '--precision <precision>',
        'of the layers around attention: fp32, a8 (8-bit activations) or w8a8 (8-bit weights as well, to read a ' +
          'prompt); default: the fastest whose KL to fp32 is below .005 on the model, .01 for a8',
      ).choices(['fp32', 'a8', 'w8a8']),
    )
    .option('--threads <count>', 'threads (default: one for each processor that is not busy)', parsePositiveInteger)
    .option('--verify', 'read all of the prepared weights and compare them with what was written (default: samples)');
}

/** --attention, --budget, --law, --certify */
export function addAttentionOptions(command: Command): Command {
  const kinds = BUDGETS.map(({ usage, meaning }) => `${usage} (${meaning})`).join(', ');
  return command
    .option('-a, --attention <policy>', 'how decoding attends: one of the policies below', parsePolicyName, 'sieve')
    .option('-b, --budget <budget>', `keys a head reads: ${kinds} (default: ${DEFAULT_BUDGET})`, parseBudgetOption)
    .addOption(lawOption())
    .option('--certify <share>', 'keep reading until at most this softmax mass is provably unread', parseMassShare)
    .addHelpText(
      'after',
      () => `\n${wrapLine(`Policies: ${policyNames().join(', ')}`, process.stdout.columns || 80)}\n`,
    );
}

function parsePolicyName(name: string): string {
  if (policyNames().includes(name)) return name;
  throw new InvalidArgumentError(`Allowed choices are ${policyNames().join(', ')}.`);
}

/** The policy that --attention, --budget and --certify name; with --law the default budget is a target. */
export function attentionSpec({ attention: policy, budget, law, certify }: AttentionFlags): PolicySpec {
  const isLimited = takesBudget(policy);
  const effectiveBudget = budget ?? (!isLimited ? undefined : law === undefined ? DEFAULT_BUDGET : DEFAULT_TARGET);
  return {
    policy,
    ...(effectiveBudget !== undefined && { budget: effectiveBudget }),
    ...(certify !== undefined && isLimited && { certify }),
  };
}

/** Whether a policy has a budget at all, and does not read every key. Throws `invalid-argument` for an unknown policy. */
export const takesBudget = (policy: string): boolean => createPolicy({ policy }).budget !== undefined;

/** A share of the softmax: above 0, at most 1. */
export function parseMassShare(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('Must be in (0, 1].');
  return value;
}

/** --policy and --budget, for comparing several. */
export interface PolicyFlags {
  policy?: string[];
  budget?: string[];
  law?: string;
}

/** --policy, --budget, each of which may be given again, and --law. */
export function addPolicyOptions(command: Command): Command {
  const kinds = BUDGETS.map(({ usage }) => usage).join(', ');
  return command
    .option(
      '-a, --policy <policy>',
      `${policyNames().join(', ')}, or POLICY@BUDGET; may be given again (default: sieve)`,
      collect,
    )
    .option('-b, --budget <budget>', `${kinds} (default: ${DEFAULT_BUDGET}); may be given again`, collect)
    .addOption(lawOption());
}

/**
 * The policies that --policy and --budget name: each with every budget, except those that name their own and `dense`,
 * which has none. Budget targets are still to be divided by a law: see `withLawBudget`. Throws `invalid-argument`.
 */
export function policySpecs({ policy = ['sieve'], budget, law }: PolicyFlags): PolicySpec[] {
  const budgets = budget ?? [law === undefined ? DEFAULT_BUDGET : DEFAULT_TARGET];
  const specs = policy.flatMap((text): PolicySpec[] => {
    const [name = '', ...budgetParts] = text.split('@');
    if (!takesBudget(name)) return [{ policy: name }];
    return (budgetParts.length > 0 ? [budgetParts.join('@')] : budgets).map((budgetText) => ({
      policy: name,
      budget: budgetText,
    }));
  });
  return specs.map((spec) => {
    if (spec.budget === undefined || !isBudgetTarget(spec.budget)) {
      createPolicy(spec);
      return spec;
    }
    createPolicy({ policy: spec.policy });
    return { ...spec, budget: parseBudgetTarget(spec.budget).name };
  });
}

/** One policy, as `policySpecs` reads it. */
export const policySpec = (text: string): PolicySpec => policySpecs({ policy: [text] })[0] as PolicySpec;

export const cachePrecisionOption = (): Option =>
  new Option(
    '--cache-precision <precision>',
    'of keys and values: f16, f32, or int8 (well under half the memory of f16 with its encodings); ' +
      'default: f32 with --precision fp32, else f16',
  ).choices(PRECISIONS);

export const addJsonOption = (command: Command): Command => command.option('--json', 'print one JSON object on stdout');

export function parsePositiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value <= 0) throw new InvalidArgumentError('Must be a positive integer.');
  return value;
}

/** 4096,8192 */
export const parsePositiveIntegers = (text: string): number[] =>
  text.split(',').map((part) => parsePositiveInteger(part.trim()));

export function parseWholeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError('Must be a non-negative integer.');
  }
  return value;
}

export function parseJsonObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError('Must be an object in JSON.');
}

export function parseFiniteNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Must be a number.');
  return value;
}

export const collect = (text: string, previous: string[] = []): string[] => [...previous, text];

function parseBudgetOption(text: string): string {
  try {
    return isBudgetTarget(text) ? parseBudgetTarget(text).name : parseBudget(text).name;
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
