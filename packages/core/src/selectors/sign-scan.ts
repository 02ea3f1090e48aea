/**
 * The signs alone: scores of all keys by the plane `sign` (RaBitQ, arXiv 2405.12497), and the largest of them. What the
 * sieve begins with, for comparison.
 */
import { openFrom, prepareCodes, scanAll, scanBitsOf } from '../cache/code-query.ts';
import { type HeadQuery, homeOf, scoresOf } from '../cache/head-query.ts';
import { codeDim, PAGE_KEYS, pagesFor, rowBytes } from '../kernels/layout.ts';
import { keysForMass, selectByScores } from './by-scores.ts';
import type { Selector } from './selector.ts';

export default function createSignScan(): Selector {
  return {
    name: 'sign-scan',
    planes: ['sign'],
    unit: 'head',
    certain: false,
    select(query, budget) {
      const { n, layer, head, shape } = query;
      prepareCodes(query);
      const bits = scanBitsOf(query);
      scanAll(query, bits);
      readScan(query, bits);
      const limit = budget.keys({ n, layer, head });
      const count = budget.tailMass === undefined ? limit : keysForMass(scoresOf(query), budget.tailMass, limit);
      selectByScores(query, count);
      return {
        count: Math.min(count, n),
        bytesScanned: signBytesOf(n, shape.headDim, rowBytes(shape.headDim, shape.precision)),
      };
    },
  };
}

/** Writes the scan of row 0 to its scores, in nats. */
function readScan(query: HeadQuery, bits: number): void {
  const { views, workspace } = homeOf(query);
  const scores = scoresOf(query);
  const { i16 } = views();
  for (let j = 0; j < query.n; j++) scores[j] = (i16[workspace.scans / 2 + j] as number) * Math.LN2 * 2 ** -bits;
}

/** Bytes of a scan by signs of n keys: signs, factors and centres of whole pages, and the exact keys of the open page. */
export function signBytesOf(n: number, headDim: number, keyBytes: number): number {
  const d = codeDim(headDim);
  return pagesFor(openFrom(n)) * (PAGE_KEYS * (d / 8 + 2) + d + 4) + (n - openFrom(n)) * keyBytes;
}
