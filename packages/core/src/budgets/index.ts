/** All kinds of budget, and how one is read from text. */
import { KeysieveError } from '../errors.ts';
import type { Budget, BudgetKind, KeyBudget } from './budget.ts';
import fixed from './fixed.ts';
import fraction from './fraction.ts';
import log from './log.ts';
import mass from './mass.ts';
import { type BudgetPlan, createPlanBudget } from './plan.ts';
import power from './power.ts';

export type { Budget, BudgetContext, BudgetKind, BudgetText, KeyBudget, MassTarget } from './budget.ts';
export type { BudgetPlan } from './plan.ts';

/** A new kind of budget is a file beside this one and an entry here. */
export const BUDGETS: readonly BudgetKind[] = [fixed, fraction, power, log, mass];

/** A budget as plain data, which travels between threads: a kind with its numbers, or a plan under a name. */
export type ParsedBudget =
  | { readonly kind: string; readonly parameters: readonly number[] }
  | { readonly name: string; readonly plan: BudgetPlan };

/** The budget that `text` names: `fixed:256`, `power:2,0.6`, `mass:0.05`. Throws `invalid-argument`. */
export const parseBudget = (text: string): Budget => createBudget(readBudget(text));

/**
 * Reads a budget without checking that its numbers are in range: see `createBudget`. Throws `invalid-argument` for an
 * unknown kind, and for what is no number.
 */
export function readBudget(text: string): ParsedBudget {
  const [, kind = '', rest = ''] = /^([a-z]+)(?::(.*))?$/.exec(text.trim()) ?? [];
  const budgetKind = BUDGETS.find((budget) => budget.kind === kind);
  if (budgetKind === undefined) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'Unknown budget.',
      found: text,
      remedy: `Write one of ${BUDGETS.map(({ usage }) => usage).join(', ')}.`,
    });
  }
  const parameters = rest === '' ? [] : rest.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (parameters.some(Number.isNaN)) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'A number of the budget is none.',
      found: text,
      remedy: `Write it as ${budgetKind.usage}.`,
    });
  }
  return { kind, parameters };
}

/** The budget of what was read. Throws `invalid-argument` where its numbers are out of range. */
export function createBudget(parsed: Extract<ParsedBudget, { plan: BudgetPlan }>): KeyBudget;
export function createBudget(parsed: ParsedBudget): Budget;
export function createBudget(parsed: ParsedBudget): Budget {
  if ('plan' in parsed) return createPlanBudget(parsed.name, parsed.plan);
  return (BUDGETS.find(({ kind }) => kind === parsed.kind) as BudgetKind).create(parsed.parameters);
}
