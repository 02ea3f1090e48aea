/** What is chosen on the page, and what follows from it. */
import { signal } from '@preact/signals';
import { type QualityTarget, type Suggestion, suggest } from '../../../eval/suggest.ts';
import type { EvalPageData } from '../../eval-page-data.ts';

export interface PageState {
  target: QualityTarget;
  /** The selected cell of the map of layers: a setting and a layer. */
  cell: { row: number; column: number };
  /** A task, or '' for all of them. */
  task: string;
}

export const state = signal<PageState>({ target: { kl: 0.01, by: 'bytes' }, cell: { row: 0, column: 0 }, task: '' });

export const choose = (change: Partial<PageState>): void => {
  state.value = { ...state.value, ...change };
};

export type PageText = NonNullable<EvalPageData['text']>;

/** The setting to take, for what is chosen. */
export const suggestionOf = (text: PageText): Suggestion => suggest(text, state.value.target);

interface Named {
  policy: string;
  /** Null where every key is read. */
  budget: string | null;
  prefill: { policy: string; budget: string | null };
}

/** A setting as people read it: `sieve fixed:256`, with what the context was read with where that was not dense. */
export function nameOf({ policy, budget, prefill }: Named): string {
  const prefillText = prefill.budget === null ? '' : `, after ${spec(prefill)}`;
  return spec({ policy, budget }) + prefillText;
}

const spec = ({ policy, budget }: { policy: string; budget: string | null }): string =>
  budget === null ? policy : `${policy} ${budget}`;

/** Whether two settings are the same one. */
export const isSame = (a: Named, b: Named | null): boolean => b !== null && nameOf(a) === nameOf(b);

const COLORS = ['blue', 'orange', 'green', 'pink', 'yellow', 'sky'].map((name) => `var(--${name})`);

export interface Series {
  name: string;
  color: string;
  dashed: boolean;
}

/** Colours of the policies, in their order; where there are more than colours, the lines of the others are dashed. */
export function seriesOf({ policies }: PageText): Series[] {
  const names = [...new Set(policies.filter(({ budget }) => budget !== null).map(seriesName))];
  return names.map((name, i) => ({
    name,
    color: COLORS[i % COLORS.length] as string,
    dashed: i >= COLORS.length,
  }));
}

/** Settings of one line of the charts: they differ in their budgets. */
export const seriesName = ({ policy, prefill }: Named): string =>
  prefill.budget === null ? policy : `${policy}, after ${spec(prefill)}`;
