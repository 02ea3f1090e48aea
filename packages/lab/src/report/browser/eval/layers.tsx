/** Where in the model the errors are: a row a setting, a column a layer. */
import { formatCount } from '../../../format/format.ts';
import type { PageLayer, PagePolicy } from '../../eval-page-data.ts';
import { HeatMap } from '../heat-map.tsx';
import { Card } from '../parts.tsx';
import { percent } from '../text.ts';
import { choose, nameOf, type PageText, state } from './state.ts';

export function Layers({ text }: { text: PageText }) {
  const settings = text.policies.filter(({ budget }) => budget !== null);
  const layers = settings[0]?.layers.length ?? 0;
  const { cell } = state.value;
  const policy = settings[cell.row] as PagePolicy | undefined;
  const layer = policy?.layers[cell.column];
  if (policy === undefined || layer === undefined) return null;
  const errors = settings.flatMap((each) => each.layers.map(({ outputError }) => outputError.mean));
  const errorAt = (row: number, column: number) => settings[row]?.layers[column]?.outputError.mean ?? Number.NaN;
  const positive = errors.filter((error) => error > 0);
  const domain: [number, number] = [
    Math.max(1e-4, Math.min(...positive)),
    Math.max(1e-3, Math.min(1, Math.max(...positive))),
  ];
  return (
    <Card title={`${nameOf(policy)} is off most in layer ${policy.layers[worstOf(policy.layers)]?.layer}`}>
      <p>
        Error of the heads' outputs in each layer, ‖o′ − o‖ / ‖o‖, measured against dense attention with the same
        queries and keys. Point at a cell, tap it, or go there with the arrow keys.
      </p>
      <HeatMap
        title="output error by layer"
        rows={settings.length}
        columns={layers}
        rowName="setting"
        rowLabels={settings.map(nameOf)}
        columnName="layer"
        value={errorAt}
        format={percent}
        domain={domain}
        logarithmic
        selected={cell}
        onSelect={(row, column) => choose({ cell: { row, column } })}
      />
      <p class="small" aria-live="polite">
        <b>
          {nameOf(policy)}, layer {layer.layer}
        </b>
        : error {percent(layer.outputError.mean)}, 95 % of them below {percent(layer.outputError.p95)};{' '}
        {ownWords(layer)}; {percent(layer.tailMass.mean)} of the softmax not read exactly
        {layer.certificate === 'certified' ? ' at most' : ', as it estimates'}; {formatCount(layer.keysExact)} keys
        read.
      </p>
    </Card>
  );
}

const ownWords = ({ estimatedError: { mean }, certificate }: PageLayer): string =>
  mean === null
    ? 'the policy itself cannot tell'
    : `the policy itself says ${certificate === 'certified' ? 'at most ' : ''}${percent(mean)}`;

/** The place in the list of the layer with the largest error. */
const worstOf = (layers: readonly PageLayer[]): number =>
  layers.reduce(
    (worst, { outputError }, i) => (outputError.mean > (layers[worst]?.outputError.mean ?? 0) ? i : worst),
    0,
  );
