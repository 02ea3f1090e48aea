/** What the keys are needed for: one choice that all charts of the page follow. */
import type { LawPageData } from '../../law-page-data.ts';
import { Choice } from '../parts.tsx';
import { percent } from '../text.ts';
import { choose, NEED_NAMES, state } from './state.ts';

export function Choices({ data: { shares }, name }: { data: LawPageData; name: string }) {
  const { need, share } = state.value;
  return (
    <div class="choice-row">
      <Choice
        label="keys for"
        name={`${name}-need`}
        options={Object.entries(NEED_NAMES).map(([value, label]) => ({ value: value as typeof need, label }))}
        value={need}
        onChange={(value) => choose({ need: value })}
      />
      <Choice
        label="at most"
        name={`${name}-share`}
        options={shares.map((value) => ({ value: String(value), label: percent(value) }))}
        value={String(share)}
        onChange={(value) => choose({ share: Number(value) })}
      />
    </div>
  );
}
