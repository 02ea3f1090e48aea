/** What is chosen on the page. */

import { computed, signal } from '@preact/signals';
import type { Criterion } from 'keysieve';
import type { LawPageData, PageHead, PageLaw } from '../../law-page-data.ts';

export interface PageState {
  criterion: Criterion;
  share: number;
  /** Number of a head in `heads`. */
  head: number;
}

export const state = signal<PageState>({ criterion: 'mass', share: 0.05, head: 0 });

export const choose = (change: Partial<PageState>): void => {
  state.value = { ...state.value, ...change };
};

/** What keys are needed for, in words. */
export const CRITERION_NAMES: Readonly<Record<Criterion, string>> = {
  mass: 'softmax left unread',
  errorWithoutTail: 'output error, rest dropped',
  errorWithTail: 'output error, rest estimated',
};

export const chosen = computed(() => ({ criterion: state.value.criterion, share: state.value.share }));

/** The law of a head for what is chosen. */
export function lawOf({ laws }: Pick<PageHead, 'laws'>): PageLaw | undefined {
  const { criterion, share } = chosen.value;
  return laws.find((law) => law.criterion === criterion && law.share === share);
}

export const headAt = ({ heads, model }: LawPageData, layer: number, head: number): PageHead | undefined =>
  heads[layer * model.heads + head];
