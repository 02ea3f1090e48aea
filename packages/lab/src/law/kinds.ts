/** Kinds of heads, by where the softmax lies at the longest measured length. */
import type { HeadKind } from 'keysieve';

const MIN_MASS = 0.5;
const DIFFUSE_SHARE = 0.1;

/** Features of a head at one length. */
export interface HeadFeatures {
  /** Keys in the context. */
  n: number;
  /** Share of the softmax on the first 4 keys. */
  sinkMass: number;
  /** Share of the softmax on the last 128 keys. */
  localMass: number;
  /** Keys that leave at most 10 % of the softmax unread. */
  keys: number;
}

/**
 * The first kind that fits:
 *
 * - `sink`: at least half of the softmax on the first 4 keys; the head is idle (attention sinks, arXiv 2309.17453);
 * - `local`: at least half on the last 128;
 * - `diffuse`: at least a tenth of the keys are needed to leave at most 10 % unread;
 * - `retrieval`: few keys are needed, neither the first nor the last.
 */
export function classifyHead({ n, sinkMass, localMass, keys }: HeadFeatures): HeadKind {
  if (sinkMass >= MIN_MASS) return 'sink';
  if (localMass >= MIN_MASS) return 'local';
  return keys >= DIFFUSE_SHARE * n ? 'diffuse' : 'retrieval';
}
