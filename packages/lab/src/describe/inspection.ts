/** What a model is made of and what it takes, in words. */
import type { Inspection } from '@keysieve/llm';
import { formatBytes, formatCount, formatNumber, formatShare } from '../format/format.ts';

/** Layers and heads: `18 (3 by the policy, 15 with a window), 4 query heads on 1 key-value head of 256`. */
export function describeLayers(
  { layers, heads, keyValueHeads, headDim }: Inspection['config'],
  { selective, windowed, softCapped }: Inspection['layerKinds'],
): string {
  const kinds = [
    ...(windowed === 0 ? [] : [`${windowed} with a window`]),
    ...(softCapped === 0 ? [] : [`${softCapped} with a soft cap`]),
  ];
  const counts = kinds.length === 0 ? '' : ` (${[`${selective} by the policy`, ...kinds].join(', ')})`;
  return `${layers}${counts}, ${heads} query heads on ${keyValueHeads} key-value ${keyValueHeads === 1 ? 'head' : 'heads'} of ${headDim}`;
}

export function describeMemory(memory: Inspection['memory'], tokens: number): string {
  const { cache, cacheWithoutWindows } = memory;
  const windows =
    cache === cacheWithoutWindows
      ? ''
      : `, ${formatShare(cache / cacheWithoutWindows)} of what it would be without windows`;
  return (
    `${formatBytes(memory.total)}: ${formatBytes(memory.weights)} for the weights, ${formatBytes(cache)} for ` +
    `${formatCount(tokens)} tokens (${formatBytes(memory.cachePerToken)} each${windows}), ${formatBytes(memory.work)} ` +
    `to work in, ${formatBytes(memory.tokenizer)} for the tokenizer, ${formatBytes(memory.runtime)} for the runtime`
  );
}

export const describeDisk = ({ file, prepared }: Inspection['disk']): string =>
  `${formatBytes(prepared)} when it is prepared, ${formatNumber(prepared / file)} x the file`;
