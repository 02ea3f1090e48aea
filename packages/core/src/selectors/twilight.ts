/**
 * Twilight (arXiv 2502.02770): every key is scored by its 4-bit codes, and of the largest scores as many keys are taken
 * as have a share p of the softmax: `mass:EPS` is p = 1 - EPS. Another budget takes so many of the largest instead. The
 * heads of a group share a cache: they take together what any of them takes, with the largest share that a key has for
 * one of them.
 *
 * The paper prunes what another selector has found; here that is every key. A baseline, with its top-p in plain
 * TypeScript.
 */
import { openFrom, prepareCodes, scanAll, scanBitsOf, scoreListed } from '../cache/code-query.ts';
import {
  type HeadQuery,
  homeOf,
  logOf,
  positionsBuffer,
  scoresOf,
  strideOf,
  sumOfScores,
} from '../cache/head-query.ts';
import { centreBytes, codedBytes, rowBytes } from '../kernels/layout.ts';
import { leastScore, selectByScores } from './by-scores.ts';
import { keptKeys, keysOfGroup, type Selector, selectAll } from './selector.ts';

export default function createTwilight(): Selector {
  return {
    name: 'twilight',
    planes: ['int4'],
    unit: 'group',
    certain: false,
    select(query, budget) {
      const { n, shape } = query;
      const { tailMass } = budget;
      const limit = keysOfGroup(query, budget);
      if (tailMass === undefined && limit >= n) {
        selectAll(positionsBuffer(query), n);
        return { count: n, bytesScanned: 0 };
      }
      scoreByCodes(query);
      const codes = openFrom(n) * codedBytes(shape.headDim) + centreBytes(n, shape.headDim);
      const bytesScanned = codes + (n - openFrom(n)) * rowBytes(shape.headDim, shape.precision);
      if (tailMass !== undefined) return { count: takeShare(query, tailMass), bytesScanned };
      poolShares(query, (row) => logOf(sumOfScores(query, row)));
      selectByScores(query, limit);
      return { count: Math.min(limit, n), bytesScanned };
    },
  };
}

/** Scores of all keys by their 4-bit codes, for all rows; those of the open page are exact. */
function scoreByCodes(query: HeadQuery): void {
  prepareCodes(query);
  scanAll(query, scanBitsOf(query));
  selectAll(positionsBuffer(query), query.n);
  scoreListed(query, openFrom(query.n));
}

/** The sinks, the recent keys and those that any row needs for its share 1 - `tailMass`; returns how many they are. */
function takeShare(query: HeadQuery, tailMass: number): number {
  const { n } = query;
  const { sinks, recent } = keptKeys(n);
  poolShares(query, (row) => leastScore(scoresOf(query, row), tailMass));
  const margins = scoresOf(query);
  const positions = positionsBuffer(query);
  let count = 0;
  for (let j = 0; j < n; j++) {
    if (j < sinks || j >= n - recent || (margins[j] as number) >= 0) positions[count++] = j;
  }
  return count;
}

/** Takes `offset` off the scores of each row, and leaves in row 0 the largest that each key has. */
function poolShares(query: HeadQuery, offset: (row: number) => number): void {
  const { kernels, views, workspace } = homeOf(query);
  const { n, rows } = query;
  const offsets = Array.from({ length: rows }, (_, row) => offset(row));
  views().f32.set(offsets, workspace.offsets / 4);
  kernels.poolScores(workspace.scores, strideOf(query), rows, n, workspace.offsets, workspace.pooled);
  scoresOf(query).set(views().f32.subarray(workspace.pooled / 4, workspace.pooled / 4 + n));
}
