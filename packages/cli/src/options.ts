/** Options that several subcommands share, and how their texts are read. */

import { llmError } from '@keysieve/llm';
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  BUDGETS,
  createPolicy,
  DEFAULT_BUDGET,
  isTotal,
  POLICY_NAMES,
  type PolicySpec,
  PRECISIONS,
  parseBudget,
  parseTotal,
} from 'keysieve';
import { DEFAULT_TOTAL, lawOption } from './law-budgets.ts';

export interface ModelOptions {
  model: string;
  context?: number;
  precision?: 'exact' | 'fast' | 'fastest';
  threads?: number;
}

export interface AttentionOptions {
  attention: string;
  budget?: string;
  law?: string;
  certify?: number;
}

/** --model, --context, --precision, --threads */
export function addModelOptions(command: Command): Command {
  return command
    .option('-m, --model <model>', 'PATH.gguf, nano (the embedded model), or hf:OWNER/REPO[/FILE]', 'nano')
    .option('--context <tokens>', "tokens of context; past the model's own, RoPE is stretched", positiveInteger)
    .addOption(
      new Option(
        '--precision <precision>',
        'of the dense layers: exact (float32), fast (8-bit activations) or fastest (8-bit weights, too, to read a ' +
          'prompt); default: the fastest whose KL to exact is below .005 on the model',
      ).choices(['exact', 'fast', 'fastest']),
    )
    .option('--threads <count>', 'threads (default: all cores)', positiveInteger);
}

/** --attention, --budget, --law, --certify */
export function addAttentionOptions(command: Command): Command {
  const kinds = BUDGETS.map(({ usage, meaning }) => `${usage} (${meaning})`).join(', ');
  return command
    .addOption(new Option('-a, --attention <policy>', 'how decoding attends').choices(POLICY_NAMES).default('sieve'))
    .option('-b, --budget <budget>', `keys a head reads: ${kinds} (default: ${DEFAULT_BUDGET})`, budget)
    .addOption(lawOption())
    .option(
      '--certify <share>',
      'read on until at most this share of the softmax is left out for certain',
      certifiedShare,
    );
}

/** The policy that --attention, --budget and --certify name; a law's default where there is one. */
export function attentionSpec({ attention: policy, budget, law, certify }: AttentionOptions): PolicySpec {
  const dense = policy === 'dense';
  const given = budget ?? (dense ? undefined : law === undefined ? DEFAULT_BUDGET : DEFAULT_TOTAL);
  return {
    policy,
    ...(given !== undefined && { budget: given }),
    ...(certify !== undefined && !dense && { certify }),
  };
}

/** A share of the softmax: above 0, at most 1. */
export function certifiedShare(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('It must be above 0 and at most 1.');
  return value;
}

/** --policy and --budget, to compare several. */
export interface PolicyOptions {
  policy?: string[];
  budget?: string[];
  law?: string;
}

/** --policy, --budget, each of which may be given again, and --law. */
export function addPolicyOptions(command: Command): Command {
  const kinds = BUDGETS.map(({ usage }) => usage).join(', ');
  return command
    .option('-a, --policy <policy>', `${POLICY_NAMES.join(', ')}, or POLICY@BUDGET; may be given again`, collect)
    .option('-b, --budget <budget>', `${kinds} (default: ${DEFAULT_BUDGET}); may be given again`, collect)
    .addOption(lawOption());
}

/**
 * The policies that were asked for: every one with every budget, but for those that name theirs, and for `dense`, which
 * has none. Budgets that are totals wait for a law: see `divided`. Throws `invalid-argument`.
 */
export function policySpecs({ policy = ['sieve'], budget, law }: PolicyOptions): PolicySpec[] {
  const budgets = budget ?? [law === undefined ? DEFAULT_BUDGET : DEFAULT_TOTAL];
  const specs = policy.flatMap((text): PolicySpec[] => {
    const [name = '', ...own] = text.split('@');
    if (name === 'dense') return [{ policy: name }];
    return (own.length > 0 ? [own.join('@')] : budgets).map((each) => ({ policy: name, budget: each }));
  });
  return specs.map((spec) => {
    if (spec.budget === undefined || !isTotal(spec.budget)) {
      createPolicy(spec);
      return spec;
    }
    createPolicy({ policy: spec.policy });
    return { ...spec, budget: parseTotal(spec.budget).name };
  });
}

/** One policy, as `policySpecs` reads it. */
export function policySpec(text: string): PolicySpec {
  return policySpecs({ policy: [text] })[0] as PolicySpec;
}

/**
 * Policies for keys of which no prompt was read, captured or random ones. Throws `invalid-argument` for those that evict
 * keys by what the prompt paid attention to.
 */
export function withoutPrompt(specs: readonly PolicySpec[]): readonly PolicySpec[] {
  const evicting = specs.find((spec) => createPolicy(spec).kind === 'evicting');
  if (evicting === undefined) return specs;
  throw llmError({
    code: 'invalid-argument',
    problem: 'A policy that evicts keys needs all queries of a prompt, and here there are only the last.',
    found: evicting.policy,
    remedy: 'Compare it with keysieve eval, which reads a text.',
  });
}

/** --cache-precision */
export const cachePrecisionOption = (): Option =>
  new Option(
    '--cache-precision <precision>',
    'of keys and values: f16, f32, or int8 (codes alone, well under half the memory of f16 with its codes); ' +
      'default: f32 with --precision exact, else f16',
  ).choices(PRECISIONS);

export const addJsonOption = (command: Command): Command => command.option('--json', 'print one JSON object on stdout');

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value <= 0) throw new InvalidArgumentError('It must be a positive whole number.');
  return value;
}

/** 4096,8192 */
export const positiveIntegers = (text: string): number[] => text.split(',').map((part) => positiveInteger(part.trim()));

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError('It must be a whole number, at least 0.');
  }
  return value;
}

export function finiteNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

export const collect = (text: string, before: string[] = []): string[] => [...before, text];

function budget(text: string): string {
  try {
    return isTotal(text) ? parseTotal(text).name : parseBudget(text).name;
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
