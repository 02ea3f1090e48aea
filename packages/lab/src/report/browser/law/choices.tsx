/** What the keys are needed for: one choice that all charts of the page follow. */
import type { LawPageData } from '../../law-page-data.ts';
import { Choice } from '../parts.tsx';
import { percent } from '../text.ts';
import { CRITERION_NAMES, choose, state } from './state.ts';

export function Choices({ data: { shares }, name }: { data: LawPageData; name: string }) {
  const { criterion, share } = state.value;
  return (
    <div class="choice-row">
      <Choice
        label="keys for"
        name={`${name}-need`}
        options={Object.entries(CRITERION_NAMES).map(([value, label]) => ({ value: value as typeof criterion, label }))}
        value={criterion}
        onChange={(value) => choose({ criterion: value })}
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
