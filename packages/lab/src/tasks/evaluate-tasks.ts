/** Policies on questions about long contexts whose answers are known: every policy answers the same prompts. */
import type { Model, Scan } from '@keysieve/llm';
import { type CertificateKind, DEFAULT_BUDGET, type PolicySpec, type Precision, policyEncodings } from 'keysieve';
import type { NamedText } from '../eval/tokens.ts';
import { mean } from '../numerics/statistics.ts';
import type { ResultOf, TimingMachine } from '../results/cell.ts';
import { type ModelSettings, modelSettings } from '../results/model-settings.ts';
import { type Run, runAlone } from '../results/run.ts';
import { textHash } from '../results/text-hash.ts';
import { type Work, type WorkOptions, workOf } from '../work.ts';
import type { TaskAnswer } from './answer-task.ts';
import { defaultFiller } from './default-filler.ts';
import { createFiller } from './filler.ts';
import { type AnswerTimes, createTaskComputer, type TaskCell, type TaskPlan, taskCells } from './task-cells.ts';

/** Which questions are asked, and of which policies. */
export interface EvaluateTasksOptions extends WorkOptions {
  model: Model;
  /** Names of tasks: see `TASKS`. */
  tasks: readonly string[];
  /** Tokens of the prompts. Default: 2,048, 4,096 and 8,192. */
  lengths?: readonly number[];
  /** Places of the fact from the beginning to the end, for tasks that place one. Default: 10. */
  depths?: number;
  /** Prompts for each length and place. Default: 1, or 10 where a task places its facts at random. */
  samples?: number | undefined;
  /** Facts of the same form that are not asked for, where a task lets the caller choose. Default: 0. */
  distractors?: number;
  /** Whether questions are put into the model's chat template. Default: false. */
  chat?: boolean;
  /** Text around the facts. Default: the licence that comes with this package. */
  filler?: NamedText | undefined;
  /** The same seed gives the same prompts. Default: 1. */
  seed?: number;
  /** The policies that answer, with laws applied. Default: the sieve with its default budget. */
  policies?: readonly PolicySpec[];
  /** How prompts are read, before every policy. Default: with full attention. */
  prefills?: readonly PolicySpec[];
  /** Precision of the cache. Default: as sessions have it. */
  cachePrecision?: Precision | undefined;
  /** What the sieve scans keys by. Default: as sessions have it. */
  scan?: Scan | undefined;
  /** File that keeps answers as they come; an interrupted evaluation continues from it. Default: none. */
  save?: string | undefined;
}

/** All answers, and the scores of the policies. */
export interface TasksResult {
  model: ModelSettings;
  filler: { name: string; hash: string };
  chat: boolean;
  seed: number;
  tasks: string[];
  lengths: number[];
  policies: PolicyScores[];
  answers: TaskAnswer[];
  /** What a clock has measured: one for each kind of machine that answered. */
  times: TaskTimes[];
}

/** Milliseconds of a token on machines with the same processor and threads. */
export interface TaskTimes {
  /** The load is the highest that there was. */
  machine: TimingMachine;
  policies: {
    policy: string;
    budget: string | null;
    prefill: { policy: string; budget: string | null };
    /** Mean over this number of answers. */
    msPerToken: number;
    answers: number;
  }[];
}

/** The scores of a policy, over all prompts. */
export interface PolicyScores {
  policy: string;
  budget: string | null;
  prefill: { policy: string; budget: string | null };
  /** Mean share of the references that answers name. */
  score: number;
  /** Prompts whose answers name all references, of how many. */
  right: number;
  prompts: number;
  /** The score by length, and by task and length. */
  byLength: Record<number, number>;
  byTask: Record<string, Record<number, number>>;
  /** Keys that a head attended exactly for a token: mean number, and share of those there were. */
  keysExact: { mean: number; share: number };
  /** Mean share of the softmax that was not attended exactly, as the policy reports it, and the weakest kind of that. */
  tailMass: number;
  kind: CertificateKind;
}

/** Questions as plain data: what their report is made from, beside the results of their cells. */
export interface TaskRunPlan extends TaskPlan {
  kind: 'tasks';
  model: ModelSettings;
  filler: TasksResult['filler'];
  chat: boolean;
  seed: number;
}

/** Asks a model. Throws `invalid-argument` where a task is unknown or a prompt does not fit, and what sessions throw. */
export async function evaluateTasks(options: EvaluateTasksOptions): Promise<TasksResult> {
  return runAlone(await prepareTasks(options), options);
}

/** Questions whose cells are still to be computed. Throws as `evaluateTasks`. */
export async function prepareTasks(options: EvaluateTasksOptions): Promise<Run<TaskCell, TasksResult>> {
  const { model, tasks, seed = 1, distractors = 0, chat = false, cachePrecision, scan } = options;
  const { lengths = [2048, 4096, 8192], policies = [{ policy: 'sieve', budget: DEFAULT_BUDGET }] } = options;
  const { depths = 10, samples = null, prefills = [{ policy: 'dense' }] } = options;
  const work = workOf(options);
  const filler = options.filler ?? { name: 'licence', content: await defaultFiller() };
  const fillerInfo = { name: filler.name, hash: textHash(filler.content) };
  const settings = await modelSettings(model, { cachePrecision, scan }, work.signal);
  const run = { ...settings, filler: fillerInfo.hash, chat, seed, distractors };
  const plan: TaskRunPlan = {
    kind: 'tasks',
    run,
    model: settings,
    filler: fillerInfo,
    chat,
    seed,
    tasks,
    lengths,
    depths,
    samples,
    policies,
    prefills,
  };
  return {
    plan,
    cells: taskCells(plan),
    async open() {
      const session = await model.createSession({
        attention: { policy: 'dense' },
        encodings: [...policies, ...prefills].flatMap(policyEncodings),
        cachePrecision,
        scan,
        denseFallback: false,
      });
      const { signal } = work;
      const compute = createTaskComputer({
        model,
        session,
        policies,
        filler: createFiller(filler.content, (text) => model.tokenizer.encode(text, { special: false }).length),
        seed,
        distractors,
        chat,
        signal,
      });
      return { compute, [Symbol.asyncDispose]: () => session.dispose() };
    },
    result: (resultOf) => tasksResult(plan, resultOf, work.onProgress),
  };
}

/** The result of questions, by the results of their cells. */
export async function tasksResult(
  plan: TaskRunPlan,
  resultOf: ResultOf<TaskCell>,
  onProgress: Work['onProgress'] = () => {},
): Promise<TasksResult> {
  const { model, filler, chat, seed, tasks, lengths, policies, prefills } = plan;
  const cells = taskCells(plan);
  const answered: Answered[] = [];
  for (const cell of cells) {
    onProgress('answering', answered.length, cells.length);
    const { value, times } = await resultOf<TaskAnswer, AnswerTimes>(cell);
    answered.push({ answer: value, times });
  }
  onProgress('answering', cells.length, cells.length);
  const answers = answered.map(({ answer }) => answer);
  return {
    model,
    filler,
    chat,
    seed,
    tasks: [...tasks],
    lengths: [...lengths],
    policies: prefills.flatMap((prefill) => policies.map((spec) => scorePolicy(spec, prefill, answers))),
    answers,
    times: timesOf(answered),
  };
}

interface Answered {
  answer: TaskAnswer;
  times: (AnswerTimes & { machine: TimingMachine }) | null;
}

/** Means over the answers of each setting, machine by machine. */
function timesOf(answered: readonly Answered[]): TaskTimes[] {
  const machines = groupBy(answered, ({ times }) => [times?.machine.processor, times?.machine.threads]);
  return machines.flatMap((ofMachine): TaskTimes[] => {
    const timed = ofMachine.flatMap(({ answer, times }) => (times === null ? [] : [{ answer, times }]));
    const [first] = timed;
    if (first === undefined) return [];
    const load = Math.max(...timed.map(({ times }) => times.machine.load));
    const settings = groupBy(timed, ({ answer: { policy, budget, prefill } }) => [policy, budget, prefill]);
    return [
      {
        machine: { ...first.times.machine, load },
        policies: settings.map((ofSetting) => {
          const { policy, budget, prefill } = (ofSetting[0] as (typeof timed)[number]).answer;
          const msPerToken = mean(ofSetting.map(({ times }) => times.msPerToken));
          return { policy, budget, prefill, msPerToken, answers: ofSetting.length };
        }),
      },
    ];
  });
}

/** Items whose keys are equal, in the order in which they came. */
function groupBy<T>(items: readonly T[], keyOf: (item: T) => unknown[]): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = JSON.stringify(keyOf(item));
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return [...groups.values()];
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
    byTask[task] = scoresByLength(matching.filter((answer) => answer.task === task));
  }
  return {
    policy: spec.policy,
    budget: spec.budget ?? null,
    prefill: { policy: prefill.policy, budget: prefill.budget ?? null },
    score: mean(matching.map(({ score }) => score)),
    right: matching.filter(({ right }) => right).length,
    prompts: matching.length,
    byLength: scoresByLength(matching),
    byTask,
    keysExact: {
      mean: mean(matching.map(({ keysExact }) => keysExact.mean)),
      share: mean(matching.map(({ keysExact }) => keysExact.share)),
    },
    tailMass: mean(matching.map(({ tailMass }) => tailMass)),
    kind: matching.some(({ kind }) => kind === 'estimated') ? 'estimated' : 'certified',
  };
}

function scoresByLength(answers: readonly TaskAnswer[]): Record<number, number> {
  const lengths = [...new Set(answers.map(({ length }) => length))];
  return Object.fromEntries(
    lengths.map((length) => [length, mean(answers.filter((each) => each.length === length).map(({ score }) => score))]),
  );
}
