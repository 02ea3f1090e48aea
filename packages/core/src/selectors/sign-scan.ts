/**
 * The signs alone: scores of all keys by the plane `sign` (RaBitQ, arXiv 2405.12497), and the largest of them. What the
 * sieve begins with, for comparison.
 */
import { openFrom, prepareCodes, scanAll } from '../cache/code-query.ts';
import { scoresOf } from '../cache/head-query.ts';
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
      scanAll(query);
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

/** Bytes of a scan by signs of n keys: signs, factors and centres of whole pages, and the exact keys of the open page. */
export function signBytesOf(n: number, headDim: number, keyBytes: number): number {
  const d = codeDim(headDim);
  return pagesFor(openFrom(n)) * (PAGE_KEYS * (d / 8 + 2) + d + 4) + (n - openFrom(n)) * keyBytes;
}
