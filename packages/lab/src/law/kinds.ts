/**
 * Kinds of heads, by where the softmax lies at the longest length that was measured. The first that fits:
 *
 * - `sink`: at least half on the first 4 keys. The head is idle (attention sinks, arXiv 2309.17453).
 * - `local`: at least half on the last 128.
 * - `diffuse`: a tenth of the keys, or more, are needed to leave at most 10 % unread.
 * - `retrieval`: few keys, that are neither first nor last.
 */
import type { HeadKind } from 'keysieve';

const MIN_MASS = 0.5;
const DIFFUSE_SHARE = 0.1;

export interface HeadFeatures {
  n: number;
  /** Shares of the softmax. */
  sinkMass: number;
  localMass: number;
  /** Keys that leave at most 10 % unread. */
  keys: number;
}

export function classifyHead({ n, sinkMass, localMass, keys }: HeadFeatures): HeadKind {
  if (sinkMass >= MIN_MASS) return 'sink';
  if (localMass >= MIN_MASS) return 'local';
  return keys >= DIFFUSE_SHARE * n ? 'diffuse' : 'retrieval';
}
