/** All tail estimates. A new one is a file beside this one and an entry here. */

import createSampledTail from '../sieve/tail.ts';
import createInt4Tail from '../tails/int4.ts';
import createInt8Tail from '../tails/int8.ts';
import createNone from '../tails/none.ts';
import createPageMeans from '../tails/page-means.ts';
import createQuantized from '../tails/quantized.ts';
import type { Tail } from '../tails/tail.ts';

export type { Tail, TailEstimate } from '../tails/tail.ts';

export const TAILS: Readonly<Record<string, () => Tail>> = {
  quantized: createQuantized,
  int4: createInt4Tail,
  int8: createInt8Tail,
  none: createNone,
  'page-means': createPageMeans,
  sampled: createSampledTail,
};
