/**
 * Bounds by int8 codes: every key's score is known to lie between two numbers, so the keys that are left have a sum that
 * is bounded, and so has their share of the softmax. Keys are taken in the order of their upper bounds.
 *
 * With U the sum of e^upper over the keys left and L that of e^lower over the keys taken, the share left is at most
 * U / (L + U), since x / (a + x) grows with x and falls with a.
 */
import { boundAll, lowerBoundOf, openFrom } from '../cache/code-query.ts';
import {
  type HeadQuery,
  homeOf,
  logOf,
  positionsBuffer,
  type SoftmaxSum,
  scoresOf,
  sumOver,
} from '../cache/head-query.ts';
import { codeDim, PAGE_KEYS, pagesFor, rowBytes } from '../kernels/layout.ts';
import { keysForMass, selectByScores } from './by-scores.ts';
import type { Selector } from './selector.ts';

/**
 * Sums of up to 2^31 weights in float32, 64 at a time and these in float64, are off by less than this share, rounding
 * of the weights included: 75 u of a difference of scores and 4 u of e^x, and 16 u of the additions, u = 2^-24.
 */
const SUM_SLACK = 2 ** -15;
/** With a mass that is not reached, so much less is asked for. */
const STRICTER = 0.9;

export default function createInt8Scan(): Selector {
  return {
    name: 'int8-scan',
    planes: ['int8'],
    unit: 'head',
    certain: true,
    select(query, budget) {
      const { n, layer, head, shape } = query;
      boundAll(query);
      const d = codeDim(shape.headDim);
      const open = n - openFrom(n);
      const coded = pagesFor(openFrom(n)) * (PAGE_KEYS * (d + 4) + d + 4);
      const bytesScanned = coded + open * rowBytes(shape.headDim, shape.precision);
      const limit = budget.keys({ n, layer, head });
      if (budget.tailMass === undefined) {
        selectByScores(query, limit);
        if (limit >= n) return { count: n, bytesScanned };
        return { count: limit, bytesScanned, tailBound: tailBoundOf(query, limit).tail };
      }
      for (let asked = budget.tailMass; asked > 1e-9; asked *= STRICTER) {
        const count = keysForMass(scoresOf(query), asked, limit);
        selectByScores(query, count);
        if (count >= n) return { count: n, bytesScanned };
        const { tail, logTaken } = tailBoundOf(query, count);
        const share = 1 / (1 + Math.exp(logTaken - logOf(tail)));
        if (share <= budget.tailMass) return { count, bytesScanned, tailBound: tail };
      }
      selectByScores(query, n);
      return { count: n, bytesScanned };
    },
  };
}

/** A bound on the sum over the keys that are not among the first `count` positions, and one on the sum of those. */
function tailBoundOf(query: HeadQuery, count: number): { tail: SoftmaxSum; logTaken: number } {
  const home = homeOf(query);
  const { f32 } = home.views();
  const { scores, codedScores, pooled } = home.workspace;
  const positions = positionsBuffer(query);
  // The upper bounds without those of the taken keys, and the taken keys' lower bounds.
  const left = f32.subarray(codedScores / 4, codedScores / 4 + query.n);
  left.set(f32.subarray(scores / 4, scores / 4 + query.n));
  for (let i = 0; i < count; i++) {
    const position = positions[i] as number;
    f32[pooled / 4 + i] = lowerBoundOf(query, position);
    left[position] = Number.NEGATIVE_INFINITY;
  }
  const taken = sumOver(home, pooled, count);
  const { largest, sum } = sumOver(home, codedScores, query.n);
  return { tail: { largest, sum: sum * (1 + SUM_SLACK) }, logTaken: logOf(taken) + Math.log1p(-SUM_SLACK) };
}
