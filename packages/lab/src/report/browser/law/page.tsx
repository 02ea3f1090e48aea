/** The page of a law: from what the whole model needs to each of its heads, and to what follows for budgets. */
import type { LawPageData } from '../../law-page-data.ts';
import { Budgets } from './budgets.tsx';
import { Growth } from './growth.tsx';
import { Heads } from './heads.tsx';
import { Kinds } from './kinds.tsx';
import { Method } from './method.tsx';
import { Overview } from './overview.tsx';
import { choose } from './state.ts';

export const LawPage = ({ data }: { data: LawPageData }) => (
  <main>
    <Overview data={data} />
    <Growth data={data} />
    <Heads data={data} />
    <Kinds data={data} />
    <Budgets data={data} />
    <Method data={data} />
  </main>
);

/** Chooses what the page shows at first: the law of the headline, and a typical head. */
export const showTypicalHead = (data: LawPageData): void => choose({ ...data.headline, head: mostTypical(data) });

/** The head to begin with: the one of middle C that is neither idle nor local. */
function mostTypical({ heads, headline }: LawPageData): number {
  const ranked = heads
    .map(({ kind, laws }, i) => ({
      i,
      kind,
      C: laws.find(({ criterion, share }) => criterion === headline.criterion && share === headline.share)?.fit.C ?? 0,
    }))
    .filter(({ kind }) => kind === 'retrieval' || kind === 'diffuse')
    .sort((a, b) => a.C - b.C);
  return ranked[Math.floor(ranked.length / 2)]?.i ?? 0;
}
