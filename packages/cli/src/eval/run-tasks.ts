/** `keysieve eval --task`: every policy on the same prompts, of tasks whose answers are known. */
import { writeFile } from 'node:fs/promises';
import type { PolicyScores, TasksResult } from '@keysieve/lab';
import {
  answerTask,
  defaultFiller,
  formatLength,
  formatTable,
  makePrompt,
  mean,
  modelSettings,
  openSavedResults,
  readPrompt,
  specName,
  type Task,
  type TaskAnswer,
  type TaskItem,
  taskOf,
  textHash,
} from '@keysieve/lab';
import { type Model, readPromptFile } from '@keysieve/llm';
import { type PolicySpec, policyEncodings } from 'keysieve';
import type { EvalOptions } from '../commands/eval.ts';
import { checkLaw, loadLaw, withLawBudget } from '../law-budgets.ts';
import { policySpec, policySpecs } from '../options.ts';
import { createProgress, formatCount, formatShare, note } from '../terminal.ts';

/** Asks a loaded model. */
export async function evaluateTasks(model: Model, options: EvalOptions, signal: AbortSignal): Promise<TasksResult> {
  const { text, lengths, seed, distractors, chat = false, save, plot, cachePrecision } = options;
  const policySpecList = policySpecs(options);
  const prefillSpecs = (options.prefill ?? ['dense']).map(policySpec);
  const law = await loadLaw(options.law, [...policySpecList, ...prefillSpecs]);
  await checkLaw(law, model, signal);
  const policies = policySpecList.map((spec) => withLawBudget(spec, law));
  const prefills = prefillSpecs.map((spec) => withLawBudget(spec, law));
  const tasks = options.task.map(taskOf);
  const filler = text === undefined ? await defaultFiller() : await readPromptFile(text);
  const settings = { filler, seed, distractors, chat };
  const name = text?.replace(/.*[\\/]/, '') ?? 'licence';
  const fillerInfo = { name, hash: textHash(filler) };
  const modelInfo = await modelSettings(model, cachePrecision, signal);
  const saved = await openSavedResults(save, {
    ...modelInfo,
    filler: fillerInfo.hash,
    chat,
    seed,
    others: distractors,
  });
  if (saved.truncatedCharacters > 0) note(`The last line of ${save} was cut off: that answer is given again.`);
  const encodings = [...policies, ...prefills].flatMap(policyEncodings);
  await using session = await model.createSession({ encodings, cachePrecision, denseFallback: false });
  const answers: TaskAnswer[] = [];
  const items = tasks.flatMap((task) => taskItems(task, options).map((item) => ({ task, item })));
  const total = items.length * prefills.length * policies.length;
  const progress = createProgress('answering', 'questions');
  try {
    for (const { task, item } of items) {
      for (const prefill of prefills) {
        const answering = { model, session, prefill, policies, signal };
        let prompt: ReturnType<typeof makePrompt> | undefined;
        for (const spec of policies) {
          progress.update(answers.length, total);
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
  if (plot !== undefined) await writePlot(plot, answers);
  const scores = prefills.flatMap((prefill) => policies.map((spec) => scorePolicy(spec, prefill, answers)));
  return {
    model: modelInfo,
    filler: fillerInfo,
    chat,
    seed,
    tasks: options.task,
    lengths,
    policies: scores,
    answers,
  };
}

async function writePlot(path: string, answers: readonly TaskAnswer[]): Promise<void> {
  // Plots are a large import, which only this needs.
  const { plotRecall } = await import('@keysieve/lab/plot');
  await writeFile(path, plotRecall(answers));
  note(`The heat map is in ${path}.`);
}

/** Questions of a length where a task does not place its fact, unless `--samples` says otherwise. */
const DEFAULT_REPETITIONS = 10;

function taskItems({ name, hasDepth }: Task, { lengths, depths, samples }: EvalOptions): TaskItem[] {
  const depthValues = Array.from({ length: depths }, (_, i) => (depths === 1 ? 0.5 : i / (depths - 1)));
  return lengths.flatMap((length) =>
    (hasDepth ? depthValues : [null]).flatMap((depth) =>
      Array.from({ length: samples ?? (hasDepth ? 1 : DEFAULT_REPETITIONS) }, (_, repetition) => ({
        task: name,
        length,
        depth,
        repetition: repetition,
      })),
    ),
  );
}

function scorePolicy(spec: PolicySpec, prefill: PolicySpec, answers: readonly TaskAnswer[]): PolicyScores {
  const matching = answers.filter(
    (answer) =>
      answer.policy === spec.policy &&
      answer.budget === (spec.budget ?? null) &&
      answer.prefill.policy === prefill.policy &&
      answer.prefill.budget === (prefill.budget ?? null),
  );
  const byTask: Record<string, Record<number, number>> = {};
  for (const task of new Set(matching.map((answer) => answer.task))) {
    byTask[task] = byLength(matching.filter((answer) => answer.task === task));
  }
  return {
    policy: spec.policy,
    budget: spec.budget ?? null,
    prefill: { policy: prefill.policy, budget: prefill.budget ?? null },
    score: mean(matching.map(({ score }) => score)),
    right: matching.filter(({ right }) => right).length,
    prompts: matching.length,
    byLength: byLength(matching),
    byTask,
    keysExact: {
      mean: mean(matching.map(({ keysExact }) => keysExact.mean)),
      share: mean(matching.map(({ keysExact }) => keysExact.share)),
    },
    tailMass: mean(matching.map(({ tailMass }) => tailMass)),
    msPerToken: mean(matching.map(({ msPerToken }) => msPerToken)),
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
    formatCount(row.keysExact.mean),
    formatShare(row.keysExact.share),
    row.msPerToken.toFixed(1),
  ]);
  const names = ['policy', 'budget', 'prefill', 'all right', 'score', ...columns, 'keys', 'share', 'ms'];
  return formatTable(names, rows);
}
