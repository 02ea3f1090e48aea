/** What evaluations give: of a text, of tasks, and of the keys that a divergence takes. */
import type { TaskAnswer } from '../tasks/answer-task.ts';
import type { KeysForLengths } from './keys-for-lengths.ts';
import type { ModelSettings } from './model-settings.ts';
import type { Suggestion } from './suggest.ts';
import type { TextEvaluation } from './text.ts';

/** What `eval --json` prints of a text. */
export interface TextResult extends TextEvaluation {
  model: ModelSettings;
  text: { name: string; hash: string; offset: number };
  seed: number;
  suggestion?: Suggestion;
}

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
  keysExact: { mean: number; share: number };
  tailMass: number;
  msPerToken: number;
}

/** What `eval --keys-for --json` prints. */
export interface KeysForResult extends KeysForLengths {
  model: ModelSettings;
  text: { name: string; hash: string; offset: number };
  /** File of the law. */
  lawFile: string | null;
}
