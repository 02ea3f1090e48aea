/** What the attention of all layers of a cache does beside a softmax of scaled scores. */
import { invariant } from '../errors.ts';

export interface ScoreRule {
  /**
   * A query sees this many keys, the last up to its own position. The cache forgets what no later query sees, and every
   * policy reads all keys of the window exactly. Default: a query sees all keys before it.
   */
  window?: number | undefined;
  /** Scores s become softCap tanh(s / softCap); every policy reads all keys then. Default: scores are as they are. */
  softCap?: number | undefined;
  /** Learned scores (layers, heads) that take part in the softmax without a value. Default: none. */
  sinks?: readonly (readonly number[])[] | undefined;
}

/** Whether every query reads all keys that it sees, whatever the policy. */
export const readsAllKeys = ({ window, softCap }: ScoreRule): boolean => window !== undefined || softCap !== undefined;

/** Throws `invalid-argument` for a rule that no layers can have. */
export function checkScoreRule({ window, softCap, sinks }: ScoreRule, layers: number, heads: number): void {
  invariant(window === undefined || (Number.isSafeInteger(window) && window > 0), () => ({
    code: 'invalid-argument',
    problem: 'A window is a whole number of keys, its own among them.',
    found: window,
    remedy: 'Give the number that the model states, or none.',
  }));
  invariant(softCap === undefined || (Number.isFinite(softCap) && softCap > 0), () => ({
    code: 'invalid-argument',
    problem: 'A soft cap of scores is a positive number.',
    found: softCap,
    remedy: 'Give the number that the model states, or none.',
  }));
  const isWhole = sinks?.length === layers && sinks.every((row) => row.length === heads && row.every(Number.isFinite));
  invariant(sinks === undefined || isWhole, () => ({
    code: 'invalid-argument',
    problem: `Sinks are finite scores (layers, heads): ${layers} by ${heads}.`,
    found: `${sinks?.length} by ${sinks?.[0]?.length}`,
    remedy: 'Give one for each query head of each layer, or none.',
  }));
}
