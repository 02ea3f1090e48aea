/** Keys that leave out at most a share of the softmax, as contexts grow: what two claims rest on. */

import type { Estimate } from '../numerics/statistics.ts';
import { type Measurement, SHARES } from './row.ts';
import type { Source } from './source.ts';
import { exponentOf } from './statistics.ts';

export const neededKeys =
  (share: (typeof SHARES)[number]) =>
  ({ needed }: Measurement): number =>
    needed[SHARES.indexOf(share)] as number;

/** The exponent C of the keys that leave out at most a share. */
export const neededExponent = (source: Source, share: (typeof SHARES)[number]): Estimate =>
  exponentOf(source, neededKeys(share));
