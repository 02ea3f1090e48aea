/**
 * A budget says how many keys may be attended exactly. Most are a number of keys as a function of n; `mass` instead
 * asks for as many keys as leave at most a given share of the softmax unread.
 */
import { KeysieveError } from '../errors.ts';

/** The query head that a budget is asked about. */
export interface BudgetContext {
  /** Keys that the query may see. */
  n: number;
  layer: number;
  /** Query head in the layer. */
  head: number;
}

/** The most keys that may be attended exactly, as a function of the query. */
export interface Budget {
  /** As it is written on the command line: `fixed:256`. */
  readonly name: string;
  /** Most keys: a whole number from 1 to n. */
  keys(context: BudgetContext): number;
  /** Share of the softmax that may stay unread; selection stops when it is reached. Undefined: not looked at. */
  readonly tailMass?: number;
}

/** One kind of budget: how its arguments are read. */
export interface BudgetKind {
  /** The word before the colon. */
  readonly kind: string;
  /** How it is written, for messages: `fixed:K`. */
  readonly usage: string;
  /** What it means, in a few words. */
  readonly meaning: string;
  /** The budget of the numbers behind the colon. Throws where they are no budget of this kind. */
  create(parameters: readonly number[]): Budget;
}

/** A whole number of keys from 1 to n. */
export const clampKeys = (keys: number, n: number): number => Math.max(1, Math.min(n, Math.round(keys)));

/** Checks the parameters of a budget: as many as named, each within its range [from, to]. */
export function checkParameters(
  usage: string,
  parameters: readonly number[],
  ranges: readonly { name: string; from: number; to: number; whole?: boolean }[],
): void {
  const valid =
    parameters.length === ranges.length &&
    ranges.every(({ from, to, whole }, i) => {
      const value = parameters[i] as number;
      return Number.isFinite(value) && value >= from && value <= to && (!whole || Number.isInteger(value));
    });
  if (valid) return;
  const expected = ranges.map(
    ({ name, from, to, whole }) => `${whole ? 'a whole' : 'a'} ${name} from ${from} to ${to}`,
  );
  throw new KeysieveError({
    code: 'invalid-argument',
    problem: `The budget ${usage} takes ${expected.join(' and ')}.`,
    found: parameters.length === 0 ? 'nothing' : parameters.join(', '),
    remedy: `Write it as ${usage}.`,
  });
}
