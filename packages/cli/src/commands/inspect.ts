/** `keysieve inspect`: what a model is, the memory it will take, and how it would be run. */
import { describeDisk, describeLayers, describeMemory, formatCount, withLawBudget } from '@keysieve/lab';
import { hashFile, type Inspection, inspectModel, printable } from '@keysieve/llm';
import { Command } from 'commander';
import { isBudgetTarget, meanKeysFor, type PolicySpec, type Precision } from 'keysieve';
import { checkLoadedLaw, type LoadedLaw, loadLaw } from '../law-options.ts';
import { showLoading } from '../loading.ts';
import {
  type AttentionFlags,
  addAttentionOptions,
  addJsonOption,
  addModelOptions,
  attentionSpec,
  cachePrecisionOption,
  type ModelFlags,
} from '../options.ts';
import { fields, printResult } from '../tables.ts';
import { abortOnInterrupt } from '../terminal.ts';

interface Options extends ModelFlags, AttentionFlags {
  cachePrecision?: Precision;
  json?: boolean;
}

export function inspectCommand(): Command {
  const command = new Command('inspect').description('architecture, memory and settings of a model');
  command.addOption(cachePrecisionOption());
  addModelOptions(command);
  addAttentionOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => inspect(options));
}

/** Lengths that the keys of a law's budget are shown for. */
const DISPLAYED_LENGTHS = [1024, 4096, 16_384, 65_536, 262_144];

async function inspect({ model, context, precision, threads, verify, json, ...attention }: Options): Promise<void> {
  const spec = attentionSpec(attention);
  const law = await loadLaw(attention.law, [spec]);
  const { signal, release } = abortOnInterrupt();
  try {
    const inspection = await inspectModel(model, {
      ...(context === undefined ? {} : { context }),
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      verify,
      cachePrecision: attention.cachePrecision,
      attention: withLawBudget(spec, law?.law),
      ...showLoading(),
      signal,
    });
    const { name, path, config } = inspection;
    await checkLoadedLaw(law, { name, config, hash: () => hashFile(path, { signal }) }, signal);
    const budget = lawBudget(law, spec);
    const output = { ...inspection, ...(budget && { law: budget }) };
    printResult(json, output, () => describe(output));
  } finally {
    release();
  }
}

/** A budget target divided by a law. */
interface LawBudget {
  file: string;
  target: string;
  /** Mean keys a head by length: `{ "4096": 256 }`. */
  keys: Record<string, number>;
}

function lawBudget(opened: LoadedLaw | undefined, { budget }: PolicySpec): LawBudget | undefined {
  if (opened === undefined || budget === undefined || !isBudgetTarget(budget)) return undefined;
  const keys = DISPLAYED_LENGTHS.map((n) => [n, Math.round(meanKeysFor(opened.law, budget, n))]);
  return { file: opened.path, target: budget, keys: Object.fromEntries(keys) };
}

function describeLaw({ file, keys }: LawBudget): string {
  const means = Object.entries(keys).map(([n, k]) => `${formatCount(k)} at ${formatCount(Number(n))}`);
  return `${file}: mean keys a head are ${means.join(', ')}`;
}

function describeAttention({ policy, budget, fullAttentionBelow }: Inspection['attention']): string {
  const fallback =
    fullAttentionBelow === null
      ? ''
      : `; full attention below ${formatCount(fullAttentionBelow)} keys, where that is faster here`;
  return `${policy}${budget === null ? '' : `, ${budget}`}${fallback}`;
}

type InspectionOutput = Inspection & { law?: LawBudget };

function describe(output: InspectionOutput): string {
  const { name, path, config, layerKinds, context, weights, memory, precision, attention, disk, law } = output;
  const rows: [string, string][] = [
    ['model', `${name} (${path})`],
    ['architecture', `${config.architecture}, ${formatCount(config.parameters)} parameters`],
    ['layers', describeLayers(config, layerKinds)],
    ['vocabulary', `${formatCount(config.vocabularySize)} tokens`],
    [
      'weights',
      Object.entries(weights)
        .map(([type, count]) => `${count} tensors ${type}`)
        .join(', '),
    ],
    [
      'context',
      `${formatCount(context.tokens)} tokens` +
        (context.ropeExtended ? `, stretched from ${formatCount(context.trained)}` : ''),
    ],
    [
      'precision',
      precision.reason === 'requested'
        ? `${precision.chosen}, as asked for`
        : `${precision.chosen}: the KL of ${precision.chosen === 'fp32' ? 'a8' : precision.chosen} to fp32 is ${precision.kl?.toPrecision(2)} on ${precision.tokens} tokens`,
    ],
    ['attention', describeAttention(attention)],
    ...(law === undefined ? [] : [['law', describeLaw(law)] as [string, string]]),
    ['memory', describeMemory(memory, context.tokens)],
    ['disk', describeDisk(disk)],
  ];
  return fields(rows.map(([name, value]) => [name, printable(value)]));
}
