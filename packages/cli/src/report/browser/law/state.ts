/** What is chosen on the page. */

import { computed, signal } from '@preact/signals';
import type { Need } from 'keysieve';
import type { LawPageData, PageHead, PageLaw } from '../../law-page-data.ts';

export interface PageState {
  need: Need;
  share: number;
  /** Number of a head in `heads`. */
  head: number;
}

export const state = signal<PageState>({ need: 'mass', share: 0.05, head: 0 });

export const choose = (change: Partial<PageState>): void => {
  state.value = { ...state.value, ...change };
};

/** What keys are needed for, in words. */
export const NEED_NAMES: Readonly<Record<Need, string>> = {
  mass: 'softmax left unread',
  dropped: 'output error, rest dropped',
  returned: 'output error, rest estimated',
};

export const chosen = computed(() => ({ need: state.value.need, share: state.value.share }));

/** The law of a head for what is chosen. */
export function lawOf({ laws }: Pick<PageHead, 'laws'>): PageLaw | undefined {
  const { need, share } = chosen.value;
  return laws.find((law) => law.need === need && law.share === share);
}

export const headAt = ({ heads, model }: LawPageData, layer: number, head: number): PageHead | undefined =>
  heads[layer * model.heads + head];
