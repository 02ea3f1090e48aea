/** What the page of a law shows: law.json without what it does not draw, with numbers of a few digits, so that it stays small. */

import type { HeadLaw, KeyCounts, Law, LawFile, LawFit } from 'keysieve';
import { roundNumbers } from './rounded.ts';

export type PageFit = Pick<LawFit, 'alpha' | 'C' | 'interval' | 'r2' | 'shape' | 'parameters'>;

export interface PageLaw extends Pick<Law, 'criterion' | 'share'> {
  keys: KeyCounts[];
  fit: PageFit;
}

export interface PageHead
  extends Pick<
    HeadLaw,
    'layer' | 'head' | 'kind' | 'rank4Residual' | 'gaussian' | 'errorWithoutTail' | 'errorWithTail'
  > {
  laws: PageLaw[];
  /** At the longest length. */
  sinkMass: number;
  localMass: number;
  /** Null where too few queries were sampled. */
  distanceShare: number | null;
  scoreSpread: number;
  effectiveKeys: number;
}

export interface LawPageData
  extends Pick<
    LawFile,
    | 'model'
    | 'texts'
    | 'settings'
    | 'lengths'
    | 'shares'
    | 'ladder'
    | 'budgets'
    | 'headline'
    | 'extrapolation'
    | 'summary'
  > {
  heads: PageHead[];
}

/** The data of the page. */
export function lawPageData(law: LawFile): LawPageData {
  const { model, texts, settings, lengths, shares, ladder, budgets, headline, extrapolation, summary } = law;
  return roundNumbers({
    model,
    texts,
    settings,
    lengths,
    shares,
    ladder,
    budgets,
    headline,
    extrapolation,
    summary,
    heads: law.heads.map((head) => ({
      layer: head.layer,
      head: head.head,
      kind: head.kind,
      laws: head.laws.map(pageLaw),
      gaussian: head.gaussian,
      errorWithoutTail: head.errorWithoutTail,
      errorWithTail: head.errorWithTail,
      sinkMass: head.sinkMass.at(-1) ?? 0,
      localMass: head.localMass.at(-1) ?? 0,
      distanceShare: head.distanceShare.at(-1) ?? null,
      rank4Residual: head.rank4Residual,
      scoreSpread: head.scoreSpread.at(-1) ?? 0,
      effectiveKeys: head.effectiveKeys.at(-1) ?? 0,
    })),
  });
}

const pageLaw = ({ criterion, share, keys, fit }: Law): PageLaw => ({
  criterion,
  share,
  keys,
  fit: { alpha: fit.alpha, C: fit.C, interval: fit.interval, r2: fit.r2, shape: fit.shape, parameters: fit.parameters },
});
