/** What the page of an evaluation shows: results without what it does not draw, with numbers of a few digits. */
import { FULL_ATTENTION } from 'keysieve';
import type { LayerFigures } from '../eval/audit.ts';
import type { PolicyEvaluation } from '../eval/compare-policies.ts';
import type { TextResult } from '../eval/evaluate-text.ts';
import type { QualityTarget } from '../eval/suggest.ts';
import { msPerTokenOf } from '../eval/times.ts';
import type { PolicyScores, TasksResult } from '../tasks/evaluate-tasks.ts';
import { roundNumbers } from './rounded.ts';

export type PageLayer = Pick<
  LayerFigures,
  'layer' | 'outputError' | 'estimatedError' | 'tailMass' | 'keysExact' | 'certificate'
>;

export interface PagePolicy extends Omit<PolicyEvaluation, 'layers'> {
  layers: PageLayer[];
  /** Null where nothing was timed. */
  msPerToken: number | null;
}

export interface PageTasks extends Omit<TasksResult, 'answers' | 'model'> {
  prompts: number;
  /** What full attention has found, as far as it was asked. */
  dense: PolicyScores | null;
}

type PageDense = TextResult['dense'] & { msPerToken: number | null };

export interface EvalPageData {
  model: TextResult['model'];
  text:
    | (Omit<TextResult, 'dense' | 'policies' | 'suggestion' | 'model'> & { dense: PageDense; policies: PagePolicy[] })
    | null;
  tasks: PageTasks | null;
  target: QualityTarget;
}

/** The results of a run: of a text, of tasks, or both. */
export interface EvalResults {
  text?: TextResult | undefined;
  tasks?: TasksResult | undefined;
}

/** What a setting should hold where nothing was asked for. */
const DEFAULT_TARGET: QualityTarget = { kl: 0.01, by: 'bytes' };

/** Enough digits that the page chooses the setting that the command suggests. */
const DIGITS = 6;

/** The data of the page. */
export function evalPageData({ text, tasks }: EvalResults): EvalPageData {
  const model = (text ?? tasks)?.model as TextResult['model'];
  const data: EvalPageData = {
    model,
    text: text === undefined ? null : textData(text),
    tasks: tasks === undefined ? null : tasksData(tasks),
    target: text?.suggestion?.target ?? DEFAULT_TARGET,
  };
  return roundNumbers(data, DIGITS);
}

function textData({ suggestion: _, model: _model, dense, policies, ...text }: TextResult): EvalPageData['text'] {
  return {
    ...text,
    dense: { ...dense, msPerToken: msPerTokenOf(text, { policy: 'dense', budget: null }) },
    policies: policies.map((policy) => ({
      ...policy,
      layers: policy.layers.map(pageLayer),
      msPerToken: msPerTokenOf(text, policy),
    })),
  };
}

const pageLayer = ({
  layer,
  outputError,
  estimatedError,
  tailMass,
  keysExact,
  certificate,
}: LayerFigures): PageLayer => ({
  layer,
  outputError,
  estimatedError,
  tailMass,
  keysExact,
  certificate,
});

function tasksData({ answers, model: _, ...tasks }: TasksResult): PageTasks {
  const prompts = new Set(
    answers.map(({ task, length, depth, repetition }) => `${task} ${length} ${depth} ${repetition}`),
  );
  const dense = tasks.policies.find(({ policy }) => policy === FULL_ATTENTION.policy) ?? null;
  return { ...tasks, prompts: prompts.size, dense };
}
