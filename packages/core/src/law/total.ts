/** Totals: what a law divides over the heads. */
import { checkParameters } from '../budgets/budget.ts';
import { KeysieveError } from '../errors.ts';

export type TotalKind = 'mean' | 'error' | 'kl';

/** A total, as it is written: `mean:256`. */
export interface LawTotal {
  readonly kind: TotalKind;
  readonly value: number;
  /** As it is written, in one form. */
  readonly name: string;
}

interface TotalOption {
  readonly kind: TotalKind;
  readonly usage: string;
  readonly meaning: string;
  readonly parameter: { name: string; from: number; to: number };
}

/** Every kind of total. */
export const LAW_TOTALS: readonly TotalOption[] = [
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
export const isTotal = (text: string): boolean => LAW_TOTALS.some(({ kind }) => text.trim().startsWith(`${kind}:`));

/** The total that a text names. Throws `invalid-argument`. */
export function parseTotal(text: string): LawTotal {
  const [, kind = '', rest = ''] = /^([a-z]+):(.*)$/.exec(text.trim()) ?? [];
  const found = LAW_TOTALS.find((total) => total.kind === kind);
  if (found === undefined) {
    throw new KeysieveError({
      code: 'invalid-argument',
      problem: 'A law does not divide this.',
      found: text,
      remedy: `Write one of ${LAW_TOTALS.map(({ usage }) => usage).join(', ')}.`,
    });
  }
  const value = rest.trim() === '' ? Number.NaN : Number(rest);
  checkParameters(found.usage, [value], [found.parameter]);
  return { kind: found.kind, value, name: `${found.kind}:${value}` };
}
