/** How far the laws can be trusted, and how they were measured. */
import { formatCount, formatLength } from '../../../format/format.ts';
import type { LawPageData } from '../../law-page-data.ts';
import { Card, Table } from '../parts.tsx';
import { exponent, percent } from '../text.ts';

export function Method({ data }: { data: LawPageData }) {
  const { extrapolation, headline, model, settings, summary, texts } = data;
  const { textCorrelation } = summary;
  return (
    <>
      <Card title="How far the laws can be trusted">
        {extrapolation.length > 0 && (
          <Table
            caption={`Laws fitted on shorter contexts, tried on longer ones: mean keys for ${percent(headline.share)} of the softmax left unread. A typical error of 1.5 x means that predictions are off by that factor.`}
            columns={[
              { name: 'kind' },
              { name: 'heads', number: true },
              { name: 'fitted to', number: true },
              { name: 'tried at', number: true },
              { name: 'predicted / measured', number: true },
              { name: 'typical error', number: true },
            ]}
            rows={extrapolation.flatMap(({ fittedTo, predicted, kinds }) =>
              kinds.map(({ kind, heads, bias, error }) => [
                kind,
                formatCount(heads),
                formatLength(fittedTo),
                formatLength(predicted),
                `${Math.exp(bias).toFixed(2)} x`,
                `${Math.exp(error).toFixed(2)} x`,
              ]),
            )}
          />
        )}
        <p>
          {textCorrelation === null
            ? 'Only one text was read, so it is not known how much the laws depend on it: measure with a second one to see.'
            : `C of the heads on ${texts[0]?.name} and on ${texts[1]?.name} has a correlation of ${exponent(textCorrelation)}: ${textCorrelation >= 0.8 ? 'the laws belong to the heads, more than to the text.' : 'the laws depend on the text, so measure on texts like your own.'}`}
        </p>
      </Card>
      <footer>
        <p>
          Measured by <code>keysieve measure</code> on {texts.map(({ name }) => name).join(', ')}:{' '}
          {formatCount(settings.samples)} queries for each length and text, seed {settings.seed}, dense layers{' '}
          {settings.precision}, cache {settings.cachePrecision}, budgets for the policy {settings.policy}. Model{' '}
          {model.name}, SHA-256 <code>{model.hash.slice(0, 16)}</code>. This page asks no network for anything.
        </p>
      </footer>
    </>
  );
}
