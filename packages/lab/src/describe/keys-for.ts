/** The result of `keysieve eval --keys-for`, as a table and sentences. */
import type { KeysForResult } from '../eval/evaluate-keys-for.ts';
import { formatCount, formatShare } from '../format/format.ts';
import { formatTable } from '../format/table.ts';

/** The keys at each length as a table of at most `width` columns, and what follows from them in sentences. */
export function describeKeysFor(result: KeysForResult, width: number): string {
  const { kl, evalTokens, policy, text, lengths, fixed, power, law, cost, constantSupport } = result;
  const rows = [
    ['fixed', ...fixed.keys.map(formatCount), fixed.C.toFixed(2)],
    [`${power.alpha.toPrecision(3)} n^${power.C.toFixed(2)}`, ...power.keys.map(formatCount), power.C.toFixed(2)],
    ...(law === null ? [] : [['law', ...law.keys.map(formatCount), law.C.toFixed(2)]]),
  ];
  const sentences = [
    `One fixed budget that is enough at every length has ${formatCount(cost.fixed)} keys: ${times(cost.overPower)} the mean ` +
      `keys of alpha n^C${cost.overLaw === null ? '' : `, ${times(cost.overLaw)} those of the law`}.`,
    `Is a constant number of keys enough? Agreement on the likeliest token with ${constantSupport.keys} keys, where ` +
      `${constantSupport.top1} is claimed for any length:`,
    ...constantSupport.policies.map(
      ({ policy, top1, holds }) =>
        `  ${policy}: ${top1.map(formatShare).join(', ')}: ${holds ? 'it holds here' : 'it does not hold here'}.`,
    ),
    `The keys for the same divergence grow as n^${fixed.C.toFixed(2)}${law === null ? '' : `, by the law as n^${law.C.toFixed(2)}`}.`,
  ];
  return [
    `Keys a head for a KL of at most ${kl}, ${policy} on ${text.name}, the last ${evalTokens} tokens:`,
    formatTable(['budget', ...lengths.map(formatCount), 'exponent'], rows, { width }),
    ...sentences,
  ].join('\n');
}

const times = (ratio: number): string => `${ratio.toFixed(2)} times`;
