/** The cells of questions: the answer of one policy to one prompt, after one prefill. */
import type { Model, Session } from '@keysieve/llm';
import type { PolicySpec } from 'keysieve';
import type { Cell, CellResult } from '../results/cell.ts';
import { policyKey, type RunSettings } from '../results/saved-results.ts';
import { timingMachine } from '../results/timing-machine.ts';
import {
  answerTask,
  makePrompt,
  readPrompt,
  type TaskAnswer,
  type TaskItem,
  type TaskSettings,
} from './answer-task.ts';
import { type Task, taskOf } from './index.ts';

/** Which prompts are answered, and by whom. */
export interface TaskPlan {
  run: RunSettings;
  tasks: readonly string[];
  lengths: readonly number[];
  /** Places of the fact, for tasks that place one. */
  depths: number;
  /** Prompts for each length and place; null where the task says how many. */
  samples: number | null;
  policies: readonly PolicySpec[];
  /** How prompts are read, before every policy. */
  prefills: readonly PolicySpec[];
}

export interface TaskCell extends Cell {
  readonly item: TaskItem;
  readonly spec: PolicySpec;
  readonly prefill: PolicySpec;
}

/** The time of an answer. */
export interface AnswerTimes {
  msPerToken: number;
}

/** Questions of a length for tasks that place their facts at random. */
const DEFAULT_RANDOM_SAMPLES = 10;

/** All cells of a plan: those that share a prompt one after the other. Throws `invalid-argument` where a task is unknown. */
export const taskCells = (plan: TaskPlan): TaskCell[] =>
  plan.tasks
    .flatMap((name) => taskItems(taskOf(name), plan))
    .flatMap((item) =>
      plan.prefills.flatMap((prefill) =>
        plan.policies.map((spec) => ({
          run: plan.run,
          key: { ...item, spec: policyKey(spec), prefill: policyKey(prefill) },
          tokens: item.length,
          item,
          spec,
          prefill,
        })),
      ),
    );

function taskItems({ name, hasDepth }: Task, { lengths, depths, samples }: TaskPlan): TaskItem[] {
  const depthValues = Array.from({ length: depths }, (_, i) => (depths === 1 ? 0.5 : i / (depths - 1)));
  const count = samples ?? (hasDepth ? 1 : DEFAULT_RANDOM_SAMPLES);
  return lengths.flatMap((length) =>
    (hasDepth ? depthValues : [null]).flatMap((depth) =>
      Array.from({ length: count }, (_, repetition) => ({ task: name, length, depth, repetition })),
    ),
  );
}

/** Who answers, and how prompts are made. */
export interface AnswerOptions extends TaskSettings {
  model: Model;
  session: Session;
  /** The policies that answer the same prompts. */
  policies: readonly PolicySpec[];
  signal: AbortSignal;
}

/** Computes cells one after the other: a prompt that was read for one of them serves the next. */
export function createTaskComputer(options: AnswerOptions) {
  const { model, session, policies, signal } = options;
  let read: { key: string; prompt: ReturnType<typeof makePrompt> } | undefined;
  return async ({ item, spec, prefill }: TaskCell): Promise<CellResult<TaskAnswer, AnswerTimes>> => {
    const answering = { model, session, prefill, policies, signal };
    const key = JSON.stringify([item, prefill]);
    if (read?.key !== key) {
      read = undefined;
      const prompt = makePrompt(taskOf(item.task), item, options, model);
      await readPrompt(answering, prompt);
      read = { key, prompt };
    }
    const { msPerToken, ...value } = await answerTask(answering, item, read.prompt, spec);
    return { value, times: { machine: timingMachine(model.threads), msPerToken } };
  };
}
