/**
 * A budget says how much of a context a query head reads: a number of keys as a function of its length, or as many keys
 * as leave at most a given share of the softmax unread.
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

/** A number of keys that may be attended exactly. */
export interface KeyBudget {
  /** In the one form that `parseBudget` reads: `fixed:256`. */
  readonly name: string;
  /** Maximum number of keys for a query: a whole number from 1 to n. */
  keys(context: BudgetContext): number;
  readonly tailMass?: undefined;
}

/** A share of the softmax that may stay unread: keys are selected until it is reached. */
export interface MassTarget {
  /** In the one form that `parseBudget` reads: `mass:0.05`. */
  readonly name: string;
  /** From 0 to 1. */
  readonly tailMass: number;
}

/** How much a query head reads. Told apart by `tailMass`, which a number of keys has not. */
export type Budget = KeyBudget | MassTarget;

/** Budgets as they are written, for editors: any other text is refused by `parseBudget`. */
export type BudgetText =
  | `fixed:${number}`
  | `fraction:${number}`
  | `power:${number},${number}`
  | `log:${number}`
  | `mass:${number}`
  | `mean:${number}`
  | `error:${number}`
  | (string & Record<never, never>);

/** Maximum number of keys for a query: all n of them where the budget is a share of the softmax. */
export const maxKeys = (budget: Budget, context: BudgetContext): number =>
  budget.tailMass === undefined ? budget.keys(context) : context.n;

/** One kind of budget: how its parameters are read. */
export interface BudgetKind {
  /** The word before the colon. */
  readonly kind: string;
  /** How it is written, for messages: `fixed:K`. */
  readonly usage: string;
  /** What it means, in a few words. */
  readonly meaning: string;
  /** The budget of the numbers behind the colon. Throws `invalid-argument` where they are out of range. */
  create(parameters: readonly number[]): Budget;
}

/** A whole number of keys from 1 to n. */
export const clampKeys = (keys: number, n: number): number => Math.max(1, Math.min(n, Math.round(keys)));

/** Throws `invalid-argument` unless there is a parameter for every range, within [from, to]. */
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
