/** The page of an evaluation: which setting to take, the trade, every setting, their layers, and tasks. */
import type { EvalPageData, PagePolicy } from '../../eval-page-data.ts';
import { mount } from '../mount.tsx';
import { Layers } from './layers.tsx';
import { Method } from './method.tsx';
import { Overview } from './overview.tsx';
import { Pareto } from './pareto.tsx';
import { Settings } from './settings.tsx';
import { choose, isSame, type PageText, suggestionOf } from './state.ts';
import { Tasks } from './tasks.tsx';

mount(
  ({ data }: { data: EvalPageData }) => (
    <main>
      <Overview data={data} />
      {data.text && <Pareto text={data.text} />}
      {data.text && <Settings text={data.text} />}
      {data.tasks && <Tasks tasks={data.tasks} />}
      {data.text && <Layers text={data.text} />}
      <Method data={data} />
    </main>
  ),
  ({ text, target }: EvalPageData) => {
    choose({ target });
    if (text !== null) choose({ cell: worstCell(text) });
  },
);

/** The layer where the setting to take is off most; that of the first setting where none is. */
function worstCell(text: PageText): { row: number; column: number } {
  const settings = text.policies.filter(({ budget }) => budget !== null);
  const row = Math.max(
    0,
    settings.findIndex((policy) => isSame(policy, suggestionOf(text).setting)),
  );
  const errors = (settings[row] as PagePolicy | undefined)?.layers.map(({ outputError }) => outputError.mean) ?? [];
  return { row, column: Math.max(0, errors.indexOf(Math.max(...errors))) };
}
