/** What a clock has measured of an evaluation: pages read it too, so nothing of Node is imported here. */
import type { TimingMachine } from '../results/cell.ts';
import type { StepTimes } from './predictions.ts';

/** A policy and its budget, as results name them; null where every key is read. */
export interface PolicyName {
  policy: string;
  budget: string | null;
}

/** Times of a machine. */
export interface TextTimes {
  machine: TimingMachine;
  /** Milliseconds of reading the context. */
  prefills: (PolicyName & { ms: number })[];
  /** Medians over decoding steps, of full attention and of each policy. */
  steps: (PolicyName & StepTimes)[];
}

/** Milliseconds of a decoding step; null where it was not timed. */
export const msPerTokenOf = (
  { times }: { times: Pick<TextTimes, 'steps'> | null },
  { policy, budget }: PolicyName,
): number | null => times?.steps.find((each) => each.policy === policy && each.budget === budget)?.msPerToken ?? null;
