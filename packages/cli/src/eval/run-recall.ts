/** `keysieve eval --task recall`: depth by length, every policy on the same prompts. */
import { readFile, writeFile } from 'node:fs/promises';
import { loadModel } from '@keysieve/llm';
import { type PolicySpec, policyPlanes } from 'keysieve';
import type { EvalOptions } from '../commands/eval.ts';
import { showLoading } from '../loading.ts';
import { policySpec, policySpecs } from '../options.ts';
import { packageFile } from '../package-file.ts';
import { formatTable } from '../table.ts';
import { abortOnInterrupt, createProgress, formatCount, formatShare, note } from '../terminal.ts';
import { mean } from './divergence.ts';
import { answerRecall, type RecallAnswer, type RecallTask } from './recall.ts';
import { openRecallFile } from './recall-file.ts';

/** What surrounds the facts where no text is given: the licence that comes with the package. */
export const defaultFiller = (): Promise<string> => readFile(packageFile('LICENSE'), 'utf8');

export async function runRecall(options: EvalOptions): Promise<void> {
  const { model: source, context, precision, threads, cachePrecision, text, lengths, save, plot } = options;
  const policies = policySpecs(options);
  const prefill = policySpec(options.prefill?.[0] ?? 'dense');
  const filler = text === undefined ? await defaultFiller() : await readFile(text, 'utf8');
  const tasks = tasksOf(options);
  const { signal, release } = abortOnInterrupt();
  const progress = createProgress('answering', 'prompts');
  try {
    await using model = await loadModel(source, {
      ...{ context: context ?? Math.max(...lengths) + 16 },
      ...(precision === undefined ? {} : { precision }),
      ...(threads === undefined ? {} : { threads }),
      ...showLoading(),
      signal,
    });
    const planes = [...policies, prefill].flatMap(policyPlanes);
    await using session = await model.createSession({ planes, cachePrecision, guard: false });
    const run = { model: model.name, filler: text ?? 'licence', prefill: nameOf(prefill) };
    const file = await openRecallFile(save, run);
    const answers: RecallAnswer[] = [];
    for (const [done, task] of tasks.entries()) {
      progress.update(done, tasks.length);
      const kept = policies.map(({ policy, budget }) => file.find(task, policy, budget ?? null));
      const missing = policies.filter((_, i) => kept[i] === undefined);
      const fresh =
        missing.length === 0
          ? []
          : await answerRecall({ model, session, policies: missing, filler, prefill, signal }, task);
      await file.add(fresh);
      answers.push(...kept.filter((answer) => answer !== undefined), ...fresh);
    }
    progress.stop();
    if (plot !== undefined) {
      // Plots are a large import, which only this needs.
      const { plotRecall } = await import('../plot/recall-heat-map.ts');
      await writeFile(plot, plotRecall(answers));
      note(`The heat map is in ${plot}.`);
    }
    const results = { prefill: nameOf(prefill), policies: policies.map((spec) => summarise(spec, answers)), answers };
    process.stdout.write(options.json ? `${JSON.stringify(results)}\n` : `${describe(results.policies, lengths)}\n`);
  } finally {
    progress.stop();
    release();
  }
}

const nameOf = ({ policy, budget }: PolicySpec): string => (budget === undefined ? policy : `${policy} ${budget}`);

function tasksOf({ lengths, depths, samples, others, seed }: EvalOptions): RecallTask[] {
  return lengths.flatMap((length) =>
    Array.from({ length: depths }, (_, i) => (depths === 1 ? 0.5 : i / (depths - 1))).flatMap((depth) =>
      Array.from({ length: samples }, (_, sample) => ({ length, depth, others, seed: seed + sample })),
    ),
  );
}

interface PolicyRecall {
  policy: string;
  budget: string | null;
  right: number;
  prompts: number;
  /** Share of right answers by length. */
  byLength: Record<number, number>;
  keysRead: { mean: number; share: number };
  tailMass: number;
  msPerToken: number;
}

function summarise({ policy, budget = undefined }: PolicySpec, answers: readonly RecallAnswer[]): PolicyRecall {
  const own = answers.filter((answer) => answer.policy === policy && answer.budget === (budget ?? null));
  const byLength: Record<number, number> = {};
  for (const length of new Set(own.map((answer) => answer.length))) {
    byLength[length] = mean(own.filter((answer) => answer.length === length).map(({ right }) => (right ? 1 : 0)));
  }
  return {
    policy,
    budget: budget ?? null,
    right: own.filter(({ right }) => right).length,
    prompts: own.length,
    byLength,
    keysRead: {
      mean: mean(own.map(({ keysRead }) => keysRead.mean)),
      share: mean(own.map(({ keysRead }) => keysRead.share)),
    },
    tailMass: mean(own.map(({ tailMass }) => tailMass)),
    msPerToken: mean(own.map(({ msPerToken }) => msPerToken)),
  };
}

function describe(policies: readonly PolicyRecall[], lengths: readonly number[]): string {
  const rows = policies.map((row) => [
    row.policy,
    row.budget ?? '',
    `${row.right} of ${row.prompts}`,
    ...lengths.map((length) => formatShare(row.byLength[length] ?? 0)),
    formatCount(row.keysRead.mean),
    formatShare(row.keysRead.share),
    row.msPerToken.toFixed(1),
  ]);
  const names = [
    'policy',
    'budget',
    'right',
    ...lengths.map((length) => `${formatCount(length)} tokens`),
    'keys',
    'share',
    'ms',
  ];
  return formatTable(names, rows);
}
