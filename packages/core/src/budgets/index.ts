/** All kinds of budget, and how one is read from text. */
import { KeysieveError } from '../errors.ts';
import type { Budget, BudgetKind } from './budget.ts';
import fixed from './fixed.ts';
import fraction from './fraction.ts';
import log from './log.ts';
import mass from './mass.ts';
import power from './power.ts';

export type { Budget, BudgetContext, BudgetKind } from './budget.ts';
export { type BudgetPlan, createPlanBudget } from './plan.ts';

/** A new kind of budget is a file beside this one and an entry here. */
export const BUDGETS: readonly BudgetKind[] = [fixed, fraction, power, log, mass];

/** The budget that `text` names: `fixed:256`, `power:2,0.6`, `mass:0.05`. Throws `invalid-argument`. */
export function parseBudget(text: string): Budget {
  const [, kind = '', rest = ''] = /^([a-z]+)(?::(.*))?$/.exec(text.trim()) ?? [];
  const budgetKind = BUDGETS.find((budget) => budget.kind === kind);
  if (budgetKind === undefined) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'There is no such budget.',
      found: text,
      remedy: `Write one of ${BUDGETS.map(({ usage }) => usage).join(', ')}.`,
    });
  }
  const parameters = rest === '' ? [] : rest.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  return budgetKind.create(parameters);
}
