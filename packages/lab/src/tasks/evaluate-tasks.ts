/** Policies on questions about long contexts whose answers are known: every policy answers the same prompts. */
import type { Model } from '@keysieve/llm';
import { DEFAULT_BUDGET, type PolicySpec, type Precision, policyEncodings } from 'keysieve';
import { type ModelSettings, modelSettings } from '../eval/model-settings.ts';
import { openResults } from '../eval/saved-results.ts';
import { textHash } from '../eval/text-hash.ts';
import type { NamedText } from '../eval/tokens.ts';
import { mean } from '../numerics/statistics.ts';
import { type WorkOptions, workOf } from '../work.ts';
import { answerTask, makePrompt, readPrompt, type TaskAnswer, type TaskItem } from './answer-task.ts';
import { defaultFiller } from './default-filler.ts';
import { createFiller } from './filler.ts';
import { type Task, taskOf } from './index.ts';

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
  /** Mean share of the softmax that was not attended exactly, by the policy's own account. */
  tailMass: number;
  msPerToken: number;
}

/** Questions of a length for tasks that place their facts at random. */
const DEFAULT_RANDOM_SAMPLES = 10;

/** Asks a model. Throws `invalid-argument` where a task is unknown or a prompt does not fit, and what sessions throw. */
export async function evaluateTasks(options: EvaluateTasksOptions): Promise<TasksResult> {
  const { model, seed = 1, distractors = 0, chat = false, save, cachePrecision } = options;
  const { lengths = [2048, 4096, 8192], policies = [{ policy: 'sieve', budget: DEFAULT_BUDGET }] } = options;
  const { prefills = [{ policy: 'dense' }] } = options;
  const { signal, onProgress, onNote } = workOf(options);
  const tasks = options.tasks.map(taskOf);
  const filler = options.filler ?? { name: 'licence', content: await defaultFiller() };
  const hiding = createFiller(filler.content, (text) => model.tokenizer.encode(text, { special: false }).length);
  const fillerInfo = { name: filler.name, hash: textHash(filler.content) };
  const settings = await modelSettings(model, cachePrecision, signal);
  const saved = await openResults(save, { ...settings, filler: fillerInfo.hash, chat, seed, distractors }, onNote);
  const encodings = [...policies, ...prefills].flatMap(policyEncodings);
  await using session = await model.createSession({
    attention: { policy: 'dense' },
    encodings,
    cachePrecision,
    denseFallback: false,
  });
  const answers: TaskAnswer[] = [];
  const items = tasks.flatMap((task) => taskItems(task, lengths, options).map((item) => ({ task, item })));
  const total = items.length * prefills.length * policies.length;
  for (const { task, item } of items) {
    for (const prefill of prefills) {
      const answering = { model, session, prefill, policies, signal };
      let prompt: ReturnType<typeof makePrompt> | undefined;
      for (const spec of policies) {
        onProgress('answering', answers.length, total);
        const key = { ...item, spec, prefill };
        let answer = saved.find<TaskAnswer>(key);
        if (answer === undefined) {
          if (prompt === undefined) {
            prompt = makePrompt(task, item, { filler: hiding, seed, distractors, chat }, model);
            await readPrompt(answering, prompt);
          }
          answer = await answerTask(answering, item, prompt, spec);
          await saved.keep(key, answer);
        }
        answers.push(answer);
      }
    }
  }
  onProgress('answering', total, total);
  return {
    model: settings,
    filler: fillerInfo,
    chat,
    seed,
    tasks: [...options.tasks],
    lengths: [...lengths],
    policies: prefills.flatMap((prefill) => policies.map((spec) => scorePolicy(spec, prefill, answers))),
    answers,
  };
}

function taskItems(
  { name, hasDepth }: Task,
  lengths: readonly number[],
  { depths = 10, samples }: EvaluateTasksOptions,
): TaskItem[] {
  const depthValues = Array.from({ length: depths }, (_, i) => (depths === 1 ? 0.5 : i / (depths - 1)));
  const count = samples ?? (hasDepth ? 1 : DEFAULT_RANDOM_SAMPLES);
  return lengths.flatMap((length) =>
    (hasDepth ? depthValues : [null]).flatMap((depth) =>
      Array.from({ length: count }, (_, repetition) => ({ task: name, length, depth, repetition })),
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
    msPerToken: mean(matching.map(({ msPerToken }) => msPerToken)),
  };
}

function scoresByLength(answers: readonly TaskAnswer[]): Record<number, number> {
  const lengths = [...new Set(answers.map(({ length }) => length))];
  return Object.fromEntries(
    lengths.map((length) => [length, mean(answers.filter((each) => each.length === length).map(({ score }) => score))]),
  );
}
