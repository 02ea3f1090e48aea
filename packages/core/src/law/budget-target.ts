/** Targets that a law divides over the heads of a model. */
import { checkParameters } from '../budgets/budget.ts';
import { KeysieveError } from '../errors.ts';

/** What a target fixes: the mean number of keys, or the error. */
export type BudgetTargetKind = 'mean' | 'error';

/** A target, parsed. */
export interface BudgetTarget {
  readonly kind: BudgetTargetKind;
  readonly value: number;
  /** Its canonical text: `mean:256`. */
  readonly name: string;
}

interface BudgetTargetOption {
  readonly kind: BudgetTargetKind;
  readonly usage: string;
  readonly meaning: string;
  readonly parameter: { name: string; from: number; to: number };
}

/** All kinds of targets, with how they are written and what they mean. */
export const BUDGET_TARGETS: readonly BudgetTargetOption[] = [
  {
    kind: 'mean',
    usage: 'mean:K',
    meaning: 'K keys a head on average, divided over the heads by the law',
    parameter: { name: 'K', from: 1, to: 2 ** 31 },
  },
  {
    kind: 'error',
    usage: 'error:EPS',
    meaning: 'the keys that leave a relative output error of EPS by the law, root mean square',
    parameter: { name: 'EPS', from: 1e-6, to: 1 },
  },
];

/** Whether a text is written as a target, and not as a budget that needs no law. */
export const isBudgetTarget = (text: string): boolean =>
  BUDGET_TARGETS.some(({ kind }) => text.trim().startsWith(`${kind}:`));

/** Parses a target such as `mean:256`. Throws `invalid-argument`. */
export function parseBudgetTarget(text: string): BudgetTarget {
  const [, kind = '', rest = ''] = /^([a-z]+):(.*)$/.exec(text.trim()) ?? [];
  const option = BUDGET_TARGETS.find((each) => each.kind === kind);
  if (option === undefined) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'Not a target that a law divides over the heads.',
      found: text,
      remedy: `Write ${BUDGET_TARGETS.map(({ usage }) => usage).join(' or ')}.`,
    });
  }
  const value = rest.trim() === '' ? Number.NaN : Number(rest);
  checkParameters(option.usage, [value], [option.parameter]);
  return { kind: option.kind, value, name: `${option.kind}:${value}` };
}
