/** All evictions. A new one is a file beside this one and an entry here. */
import type { Eviction } from './eviction.ts';
import createH2o from './h2o.ts';
import createSnapkv from './snapkv.ts';
import createTova from './tova.ts';

export type { Eviction } from './eviction.ts';

export const EVICTIONS: Readonly<Record<string, () => Eviction>> = {
  h2o: createH2o,
  snapkv: createSnapkv,
  tova: createTova,
};
