/** All settings as a table, the cheap ones first. */

import { meetsTarget } from '../../../eval/suggest.ts';
import { formatCount, formatNumber } from '../../../format/format.ts';
import type { PagePolicy } from '../../eval-page-data.ts';
import { Card, Table } from '../parts.tsx';
import { percent } from '../text.ts';
import { isSame, nameOf, type PageText, state, suggestionOf } from './state.ts';

export function Settings({ text }: { text: PageText }) {
  const { target } = state.value;
  const { setting } = suggestionOf(text);
  const costOf = ({ bytesPerKey, msPerToken }: Pick<PagePolicy, 'bytesPerKey' | 'msPerToken'>) =>
    target.by === 'bytes' ? bytesPerKey : (msPerToken ?? 0);
  const ordered = [...text.policies].sort((a, b) => costOf(a) - costOf(b));
  const meetingCount = ordered.filter((policy) => meetsTarget(policy, target)).length;
  return (
    <Card
      title={`${formatCount(meetingCount)} of ${formatCount(ordered.length)} settings hold a KL of ${formatNumber(target.kl)}`}
    >
      <p>
        The interval of the KL has a probability of .95. Errors (their mean, and the 95th percentile) are those of the
        outputs of all heads, measured against dense attention on {formatCount(text.auditTokens)} of the tokens; beside
        them stands what the policy says of itself: a bound (≤), or an estimate (~). Keys are those that a head reads
        exactly for a token.
      </p>
      <Table
        columns={[
          { name: 'setting' },
          { name: 'holds' },
          { name: 'KL (interval)', number: true },
          { name: 'bytes/key', number: true },
          ...(text.times ? [{ name: 'ms/token', number: true }] : []),
          { name: 'top-1', number: true },
          { name: 'nll +', number: true },
          { name: 'measured (p95)', number: true },
          { name: 'by itself', number: true },
          { name: 'keys', number: true },
        ]}
        strong={ordered.flatMap((policy, i) => (isSame(policy, setting) ? [i] : []))}
        rows={ordered.map((policy) => {
          const { kl, top1, deltaNll, outputError, estimatedError, certificate, keysExact, bytesPerKey, msPerToken } =
            policy;
          const sign = certificate === 'certified' ? '≤' : '~';
          return [
            `${nameOf(policy)}${isSame(policy, setting) ? ' ◀' : ''}`,
            meetsTarget(policy, target) ? 'yes' : kl.mean <= target.kl ? 'perhaps' : '',
            `${formatNumber(kl.mean, 2)} (${kl.interval.map((bound) => formatNumber(bound, 2)).join('–')})`,
            formatNumber(bytesPerKey),
            ...(text.times === null ? [] : [msPerToken === null ? '' : formatNumber(msPerToken)]),
            percent(top1),
            deltaNll.toFixed(4).replace('-', '−'),
            `${percent(outputError.mean)} (${percent(outputError.p95)})`,
            estimatedError.mean === null ? 'unknown' : `${sign} ${percent(estimatedError.mean)}`,
            formatCount(keysExact),
          ];
        })}
      />
    </Card>
  );
}
