/** All tail estimates. A new one is a file beside this one and an entry here. */
import createCoded from './coded.ts';
import createInt4Codes from './int4-codes.ts';
import createInt8Codes from './int8-codes.ts';
import createNone from './none.ts';
import createPageMeans from './page-means.ts';
import createSampled from './sampled.ts';
import type { Tail } from './tail.ts';

export type { Tail, TailEstimate } from './tail.ts';

export const TAILS: Readonly<Record<string, () => Tail>> = {
  coded: createCoded,
  'int4-codes': createInt4Codes,
  'int8-codes': createInt8Codes,
  none: createNone,
  'page-means': createPageMeans,
  sampled: createSampled,
};
