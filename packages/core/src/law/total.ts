/** Totals: what a law divides over the heads. */
import { checkParameters } from '../budgets/budget.ts';
import { KeysieveError } from '../errors.ts';

export type BudgetTargetKind = 'mean' | 'error' | 'kl';

/** A total, as it is written: `mean:256`. */
export interface BudgetTarget {
  readonly kind: BudgetTargetKind;
  readonly value: number;
  /** As it is written, in one form. */
  readonly name: string;
}

interface BudgetTargetOption {
  readonly kind: BudgetTargetKind;
  readonly usage: string;
  readonly meaning: string;
  readonly parameter: { name: string; from: number; to: number };
}

/** Every kind of total. */
export const BUDGET_TARGETS: readonly BudgetTargetOption[] = [
  {
    kind: 'mean',
    usage: 'mean:K',
    meaning: 'K keys a head in the mean, divided by the law',
    parameter: { name: 'K', from: 1, to: 2 ** 31 },
  },
  {
    kind: 'error',
    usage: 'error:EPS',
    meaning: 'as many as the law says leave a relative error of EPS, root mean square',
    parameter: { name: 'EPS', from: 1e-6, to: 1 },
  },
  {
    kind: 'kl',
    usage: 'kl:X',
    meaning: 'as many as the law says leave a divergence of X nats from dense attention',
    parameter: { name: 'X', from: 1e-9, to: 10 },
  },
];

/** Whether a text is meant as a total, and not as a budget that needs no law. */
export const isBudgetTarget = (text: string): boolean =>
  BUDGET_TARGETS.some(({ kind }) => text.trim().startsWith(`${kind}:`));

/** The total that a text names. Throws `invalid-argument`. */
export function parseBudgetTarget(text: string): BudgetTarget {
  const [, kind = '', rest = ''] = /^([a-z]+):(.*)$/.exec(text.trim()) ?? [];
  const option = BUDGET_TARGETS.find((total) => total.kind === kind);
  if (option === undefined) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'A law does not divide this.',
      found: text,
      remedy: `Write one of ${BUDGET_TARGETS.map(({ usage }) => usage).join(', ')}.`,
    });
  }
  const value = rest.trim() === '' ? Number.NaN : Number(rest);
  checkParameters(option.usage, [value], [option.parameter]);
  return { kind: option.kind, value, name: `${option.kind}:${value}` };
}
