/** The suggestion of `keysieve eval --suggest`, in sentences. */
import type { Setting, Suggestion } from '../eval/suggest.ts';
import { formatNumber } from '../format/format.ts';

/** A suggestion in sentences, given the milliseconds of a token with full attention. */
export function describeSuggestion(
  { target, setting, probable, denseIsCheaper }: Suggestion,
  denseMs: Setting['msPerToken'],
) {
  const limit = `a KL of at most ${formatNumber(target.kl)}`;
  const by = target.by === 'bytes' ? 'that reads the fewest bytes' : 'that is fastest';
  const lines = [
    setting === null
      ? `None of these settings meets ${limit}: read more keys, or stay with full attention.`
      : `Of the settings that meet ${limit}, the one ${by}: ${nameOf(setting)}: ${describeFigures(setting)}.`,
  ];
  if (probable !== null) {
    lines.push(
      `${nameOf(probable)} is cheaper and may meet it: ${describeFigures(probable)}. Compare more tokens (--eval-tokens) to be sure.`,
    );
  }
  if (denseIsCheaper) {
    const what = target.by === 'time' ? `is faster: ${denseMs?.toFixed(1)} ms a token` : 'reads fewer bytes';
    lines.push(`But at this length full attention ${what}.`);
  }
  return lines.join('\n');
}

/** The options of a setting: --policy sieve --budget fixed:256 */
const nameOf = ({ policy, budget, prefill }: Setting): string =>
  [
    `--policy ${policy}`,
    ...(budget === null ? [] : [`--budget ${budget}`]),
    ...(prefill.budget === null ? [] : [`--prefill ${prefill.policy}@${prefill.budget}`]),
  ].join(' ');

const describeFigures = ({ kl, bytesPerKey, msPerToken }: Setting): string =>
  `KL ${formatNumber(kl.mean)} (95 % interval ${formatNumber(kl.interval[0])} to ${formatNumber(kl.interval[1])}), ` +
  [
    `${bytesPerKey.toFixed(1)} bytes a key`,
    ...(msPerToken === null ? [] : [`${msPerToken.toFixed(1)} ms a token`]),
  ].join(', ');
