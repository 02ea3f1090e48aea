/**
 * The signs alone: scores of all keys by the plane `sign` (RaBitQ, arXiv 2405.12497), and the largest of them. What the
 * sieve begins with, for comparison.
 */

import { type GroupWork, primaryRegion, rowScores } from '../group/group-work.ts';
import {
  firstUnquantizedKey,
  prepareQuantizedQueries,
  scanAllKeys,
  workScanFractionBits,
} from '../group/quantized-work.ts';
import { PAGE_KEYS, pagesFor, rotatedDim, rowBytes } from '../kernels/layout.ts';
import { keysForMass, selectByScores } from './by-scores.ts';
import type { Selector } from './selector.ts';

export default function createSignScan(): Selector {
  return {
    name: 'sign-scan',
    encodings: ['sign'],
    unit: 'head',
    certain: false,
    select(work, budget) {
      const { n, layer, head, shape } = work;
      prepareQuantizedQueries(work);
      const bits = workScanFractionBits(work);
      scanAllKeys(work, bits);
      scanToScores(work, bits);
      const limit = budget.keys({ n, layer, head });
      const count = budget.tailMass === undefined ? limit : keysForMass(rowScores(work), budget.tailMass, limit);
      selectByScores(work, count);
      return {
        count: Math.min(count, n),
        bytesScanned: signScanBytes(n, shape.headDim, rowBytes(shape.headDim, shape.precision)),
      };
    },
  };
}

/** Writes the scan of row 0 to its scores, in nats. */
function scanToScores(work: GroupWork, bits: number): void {
  const { views, workspace } = primaryRegion(work);
  const scores = rowScores(work);
  const { i16 } = views();
  for (let j = 0; j < work.n; j++) scores[j] = (i16[workspace.signScores / 2 + j] as number) * Math.LN2 * 2 ** -bits;
}

/** Bytes of a scan by signs of n keys: signs, factors and centres of whole pages, and the exact keys of the open page. */
export function signScanBytes(n: number, headDim: number, keyBytes: number): number {
  const d = rotatedDim(headDim);
  return pagesFor(firstUnquantizedKey(n)) * (PAGE_KEYS * (d / 8 + 2) + d + 4) + (n - firstUnquantizedKey(n)) * keyBytes;
}
