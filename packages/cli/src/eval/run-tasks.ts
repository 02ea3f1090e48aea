/** `keysieve eval --task`: every policy on the same prompts, of tasks whose answers are known. */
import { readFile, writeFile } from 'node:fs/promises';
import { type Model, readPromptFile } from '@keysieve/llm';
import { type PolicySpec, policyPlanes } from 'keysieve';
import type { EvalOptions } from '../commands/eval.ts';
import { textHash } from '../file-hash.ts';
import { formatLength } from '../format.ts';
import { checkLaw, divided, openLaw } from '../law-budgets.ts';
import { policySpec, policySpecs } from '../options.ts';
import { packageFile } from '../package-file.ts';
import { formatTable } from '../table.ts';
import { createProgress, formatCount, formatShare, note } from '../terminal.ts';
import { answerTask, makePrompt, readPrompt, type TaskAnswer, type TaskItem } from './answer-task.ts';
import { mean } from './divergence.ts';
import { type ModelSettings, modelSettings } from './model-settings.ts';
import { specName } from './predictions.ts';
import { openSavedResults } from './saved-results.ts';
import { type Task, taskOf } from './tasks/index.ts';

/** What `eval --task ... --json` prints. */
export interface TasksResult {
  model: ModelSettings;
  filler: { name: string; hash: string };
  chat: boolean;
  seed: number;
  tasks: string[];
  lengths: number[];
  policies: PolicyScores[];
  answers: TaskAnswer[];
}

/** A policy over all prompts. */
export interface PolicyScores {
  policy: string;
  budget: string | null;
  prefill: { policy: string; budget: string | null };
  /** Mean share of the references that answers name, and prompts of whose answers that is all. */
  score: number;
  right: number;
  prompts: number;
  /** The score by length, and by task and length. */
  byLength: Record<number, number>;
  byTask: Record<string, Record<number, number>>;
  keysRead: { mean: number; share: number };
  tailMass: number;
  msPerToken: number;
}

/** What surrounds facts where no text is given: the licence that comes with the package. */
export const defaultFiller = (): Promise<string> => readFile(packageFile('LICENSE'), 'utf8');

/** Asks a loaded model. */
export async function evaluateTasks(model: Model, options: EvalOptions, signal: AbortSignal): Promise<TasksResult> {
  const { text, lengths, seed, others, chat = false, save, plot, cachePrecision } = options;
  const asked = policySpecs(options);
  const read = (options.prefill ?? ['dense']).map(policySpec);
  const law = await openLaw(options.law, [...asked, ...read]);
  await checkLaw(law, model, signal);
  const policies = asked.map((spec) => divided(spec, law));
  const prefills = read.map((spec) => divided(spec, law));
  const tasks = options.task.map(taskOf);
  const filler = text === undefined ? await defaultFiller() : await readPromptFile(text);
  const settings = { filler, seed, others, chat };
  const name = text?.replace(/.*[\\/]/, '') ?? 'licence';
  const run = { name, hash: textHash(filler) };
  const made = await modelSettings(model, cachePrecision, signal);
  const saved = await openSavedResults(save, { ...made, filler: run.hash, chat, seed, others });
  if (saved.cutOff > 0) note(`The last line of ${save} was cut off: that answer is given again.`);
  const planes = [...policies, ...prefills].flatMap(policyPlanes);
  await using session = await model.createSession({ planes, cachePrecision, guard: false });
  const answers: TaskAnswer[] = [];
  const items = tasks.flatMap((task) => itemsOf(task, options).map((item) => ({ task, item })));
  const all = items.length * prefills.length * policies.length;
  const progress = createProgress('answering', 'questions');
  try {
    for (const { task, item } of items) {
      for (const prefill of prefills) {
        const answering = { model, session, prefill, policies, signal };
        let prompt: ReturnType<typeof makePrompt> | undefined;
        for (const spec of policies) {
          progress.update(answers.length, all);
          const key = { ...item, spec, prefill };
          let answer = saved.find<TaskAnswer>(key);
          if (answer === undefined) {
            if (prompt === undefined) {
              prompt = makePrompt(task, item, settings, model);
              await readPrompt(answering, prompt);
            }
            answer = await answerTask(answering, item, prompt, spec);
            await saved.keep(key, answer);
          }
          answers.push(answer);
        }
      }
    }
  } finally {
    progress.stop();
  }
  if (plot !== undefined) await draw(plot, answers);
  const scores = prefills.flatMap((prefill) => policies.map((spec) => scoresOf(spec, prefill, answers)));
  return {
    ...{ model: made, filler: run, chat, seed, tasks: options.task, lengths },
    ...{ policies: scores, answers },
  };
}

async function draw(path: string, answers: readonly TaskAnswer[]): Promise<void> {
  // Plots are a large import, which only this needs.
  const { plotRecall } = await import('../plot/recall-heat-map.ts');
  await writeFile(path, plotRecall(answers));
  note(`The heat map is in ${path}.`);
}

/** Questions of a length where a task does not place its fact, unless `--samples` says otherwise. */
const SAMPLES = 10;

function itemsOf({ name, placed }: Task, { lengths, depths, samples }: EvalOptions): TaskItem[] {
  const places = Array.from({ length: depths }, (_, i) => (depths === 1 ? 0.5 : i / (depths - 1)));
  return lengths.flatMap((length) =>
    (placed ? places : [null]).flatMap((depth) =>
      Array.from({ length: samples ?? (placed ? 1 : SAMPLES) }, (_, sample) => ({ task: name, length, depth, sample })),
    ),
  );
}

function scoresOf(spec: PolicySpec, prefill: PolicySpec, answers: readonly TaskAnswer[]): PolicyScores {
  const own = answers.filter(
    (answer) =>
      answer.policy === spec.policy &&
      answer.budget === (spec.budget ?? null) &&
      answer.prefill.policy === prefill.policy &&
      answer.prefill.budget === (prefill.budget ?? null),
  );
  const byTask: Record<string, Record<number, number>> = {};
  for (const task of new Set(own.map((answer) => answer.task))) {
    byTask[task] = byLength(own.filter((answer) => answer.task === task));
  }
  return {
    ...{ policy: spec.policy, budget: spec.budget ?? null },
    prefill: { policy: prefill.policy, budget: prefill.budget ?? null },
    score: mean(own.map(({ score }) => score)),
    right: own.filter(({ right }) => right).length,
    prompts: own.length,
    byLength: byLength(own),
    byTask,
    keysRead: {
      mean: mean(own.map(({ keysRead }) => keysRead.mean)),
      share: mean(own.map(({ keysRead }) => keysRead.share)),
    },
    tailMass: mean(own.map(({ tailMass }) => tailMass)),
    msPerToken: mean(own.map(({ msPerToken }) => msPerToken)),
  };
}

function byLength(answers: readonly TaskAnswer[]): Record<number, number> {
  const lengths = [...new Set(answers.map(({ length }) => length))];
  return Object.fromEntries(
    lengths.map((length) => [length, mean(answers.filter((each) => each.length === length).map(({ score }) => score))]),
  );
}

/** Scores as a table: a column for each length, or for each task where there are several. */
export function describeTasks({ policies, tasks, lengths }: TasksResult): string {
  const columns = tasks.length === 1 ? lengths.map(formatLength) : tasks;
  const rows = policies.map((row) => [
    row.policy,
    row.budget ?? '',
    specName({ policy: row.prefill.policy, ...(row.prefill.budget !== null && { budget: row.prefill.budget }) }),
    `${row.right} of ${row.prompts}`,
    formatShare(row.score),
    ...(tasks.length === 1
      ? lengths.map((length) => formatShare(row.byLength[length] ?? 0))
      : tasks.map((task) => formatShare(mean(Object.values(row.byTask[task] ?? {}))))),
    formatCount(row.keysRead.mean),
    formatShare(row.keysRead.share),
    row.msPerToken.toFixed(1),
  ]);
  const names = ['policy', 'budget', 'prefill', 'all right', 'score', ...columns, 'keys', 'share', 'ms'];
  return formatTable(names, rows);
}
