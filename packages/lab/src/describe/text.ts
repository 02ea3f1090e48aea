/** The result of `keysieve eval` on a text, as a table, and the suggestion in sentences. */
import type { PolicyEvaluation } from '../eval/compare-policies.ts';
import type { TextResult } from '../eval/evaluate-text.ts';
import { msPerTokenOf } from '../eval/times.ts';
import { formatCount, formatShare } from '../format/format.ts';
import { formatTable } from '../format/table.ts';
import { describeSuggestion } from './suggestion.ts';

/** A table of at most `width` columns with a row for each policy, and the suggestion. */
export function describeText(result: TextResult, width: number): string {
  const { tokens, evalTokens, dense, policies, suggestion, times } = result;
  const denseMs = msPerTokenOf(result, { policy: 'dense', budget: null });
  const heading =
    `${formatCount(tokens)} tokens, the last ${formatCount(evalTokens)} compared; full attention: ` +
    `nll ${dense.nll.toFixed(4)}, ${dense.bytesPerKey.toFixed(0)} bytes a key${denseMs === null ? '' : `, ${denseMs.toFixed(1)} ms a token`}`;
  const rows = policies.map((row) => [
    row.policy,
    row.budget ?? '',
    row.prefill.budget === null ? row.prefill.policy : `${row.prefill.policy} ${row.prefill.budget}`,
    row.kl.mean.toPrecision(3),
    row.top1.toFixed(3),
    row.deltaNll.toFixed(4),
    formatShare(row.outputError.mean),
    formatEstimatedError(row),
    formatCount(row.keysExact),
    formatCount(row.keysQuantized),
    row.bytesPerKey.toFixed(1),
    ...(times === null ? [] : [msPerTokenOf(result, row)?.toFixed(1) ?? '']),
  ]);
  const names = [
    'policy',
    'budget',
    'prefill',
    'KL',
    'top-1',
    'nll +',
    'error, measured',
    'reported',
    'exact',
    'quantized',
  ];
  const settings = formatTable([...names, 'bytes/key', ...(times === null ? [] : ['ms'])], rows, { width });
  return [heading, settings, ...(suggestion ? [describeSuggestion(suggestion, denseMs)] : [])].join('\n');
}

/** The error as the policy itself reports it. */
const formatEstimatedError = ({ estimatedError, certificate }: PolicyEvaluation): string =>
  estimatedError.mean === null ? 'unknown' : `${formatShare(estimatedError.mean)} ${certificate}`;
