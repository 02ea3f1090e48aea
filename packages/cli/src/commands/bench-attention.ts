/** `keysieve bench attention`: policies on captured heads. */

import {
  benchAttention,
  benchQuantizedCaches,
  formatCount,
  formatShare,
  formatSpread,
  type PolicyResult,
  type QuantizedResult,
  readCapture,
  rejectEvictingPolicies,
  writeOutput,
} from '@keysieve/lab';
import { Command } from 'commander';
import type { PolicySpec, Precision } from 'keysieve';
import {
  addJsonOption,
  addPolicyOptions,
  cachePrecisionOption,
  type PolicyFlags,
  parseMassShare,
  parsePositiveInteger,
  policySpecs,
  takesBudget,
} from '../options.ts';
import { checkOutputs } from '../outputs.ts';
import { printResult, table } from '../tables.ts';
import { note, withProgress } from '../terminal.ts';

interface Options extends PolicyFlags {
  captures: string;
  lastQueries: number;
  stride: number;
  certify?: number;
  cachePrecision?: Precision;
  ladder?: boolean;
  plot?: string;
  json?: boolean;
}

/** Policies and budgets of the plot. */
const LADDER: PolicyFlags = {
  policy: ['sieve', 'int8-means', 'topk-means', 'topk', 'sign', 'quest', 'window'],
  budget: ['fixed:64', 'fixed:128', 'fixed:256', 'fixed:512', 'fixed:1024'],
};
/** Quantized caches are simulated, which is slow: every 8th query at most. */
const MIN_CACHE_STRIDE = 8;

export function attentionCommand(): Command {
  const command = new Command('attention').description('error, bytes and time of policies on captured heads');
  command
    .requiredOption('--captures <file>', 'safetensors file of real heads, as keysieve capture writes it')
    .option('--last-queries <count>', 'queries of each head, counted back from the last one', parsePositiveInteger, 128)
    .option('--stride <count>', 'use every Nth query', parsePositiveInteger, 1)
    .option('--certify <share>', 'keep reading until at most this softmax mass is provably unread', parseMassShare)
    .addOption(cachePrecisionOption())
    .option('--ladder', 'several policies over a ladder of budgets, for the plot')
    .option('--plot <file>', 'draw error against bytes into this SVG file');
  addPolicyOptions(command);
  addJsonOption(command);
  return command.action((options: Options) => run(options));
}

async function run(options: Options): Promise<void> {
  const { captures, lastQueries, stride, certify, cachePrecision, plot, json } = options;
  const policies = policySpecs(options.ladder ? { ...LADDER, ...options } : options).map(
    (spec): PolicySpec => (certify === undefined || !takesBudget(spec.policy) ? spec : { ...spec, certify }),
  );
  // Before the file is read, so that a wrong call is known at once.
  rejectEvictingPolicies(policies);
  await checkOutputs({ '--plot': plot }, [captures, options.law]);
  const heads = await readCapture(captures);
  const results = await withProgress((work) =>
    benchAttention({ heads, policies, lastQueries, stride, precision: cachePrecision, ...work }),
  );
  const cacheStride = Math.max(stride, MIN_CACHE_STRIDE);
  const caches = plot === undefined ? [] : benchQuantizedCaches({ heads, lastQueries, stride: cacheStride });
  if (plot !== undefined) {
    // Plots are a large import, which only this needs.
    const { plotErrorAgainstBytes } = await import('@keysieve/lab/plot');
    const keys = formatCount(Math.max(...heads.map(({ n }) => n)));
    await writeOutput(plot, plotErrorAgainstBytes(results, caches, `${heads.length} heads, ${keys} keys`));
    note(`The plot is in ${plot}.`);
  }
  printResult(json, jsonOf(results, caches), () => describe(results, caches));
}

/** One policy by itself, several as a list. */
function jsonOf(results: readonly PolicyResult[], caches: readonly QuantizedResult[]): object {
  const [first] = results;
  return results.length === 1 ? { ...first, caches } : { policies: results, caches };
}

function describe(results: readonly PolicyResult[], caches: readonly QuantizedResult[]): string {
  const rows = results.map(({ policy, budget, summary }) => [
    policy,
    budget ?? '',
    summary.outputError.mean.toPrecision(3),
    summary.outputError.p95.toPrecision(3),
    formatCount(summary.keysExact),
    formatCount(summary.keysQuantized),
    summary.bytesPerKey.toFixed(1),
    String(summary.violations),
    formatSpread(summary.speedup.f32, 2),
    formatSpread(summary.speedup.f16, 2),
    summary.calibration === null
      ? 'certified'
      : `${summary.calibration.ratio.toFixed(2)}, ${formatShare(summary.calibration.withinTwice)}`,
  ]);
  for (const { name, bytesPerKey, outputError } of caches) {
    rows.push([name, '', outputError.toPrecision(3), '', '', '', bytesPerKey.toFixed(1), '', '', '', '']);
  }
  const speed = ['dense f32 / time', 'dense f16 / time'];
  const names = [
    'policy',
    'budget',
    'error, measured',
    'p95',
    'exact',
    'quantized',
    'bytes/key',
    'violations',
    ...speed,
    'true / estimated, within 2x',
  ];
  return [table(names, rows), ...results.flatMap(({ policy, summary }) => describeCertify(policy, summary))].join('\n');
}

function describeCertify(policy: string, { certify, speedup }: PolicyResult['summary']): string[] {
  if (certify === null) return [];
  const { share, certifiedWithoutExtension, ratio, fullAttention, looseness } = certify;
  const bound = looseness === null ? '' : `; the bound on the output error is ${looseness.toFixed(1)}x the error`;
  const keys = ratio === null ? '' : `; the others read ${ratio.toFixed(3)}x the keys that an oracle needs`;
  return [
    `${policy}, certified to ${share}: ${formatShare(certifiedWithoutExtension)} met it with the policy's own keys, ` +
      `${formatShare(fullAttention)} read all keys${keys}${bound}; all heads together take dense f16 / ${formatSpread(speedup.allHeadsF16, 2)}`,
  ];
}
