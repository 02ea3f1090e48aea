/**
 * The oracle: scores every key exactly and selects the largest. No other selection of the same size leaves less mass
 * unread, so selectors are measured against it. It reads all keys itself.
 */
import { maxKeys } from '../budgets/budget.ts';
import { rowLogSumExp, rowScores, scoreAllKeys } from '../group/group-work.ts';
import { rowBytes } from '../kernels/layout.ts';
import { keysForMass, selectByScores } from './by-scores.ts';
import type { Selector } from './selector.ts';

export default function createOracle(): Selector {
  return {
    name: 'oracle',
    encodings: [],
    unit: 'head',
    certain: true,
    select(work, budget) {
      const { n, shape } = work;
      scoreAllKeys(work);
      const scores = rowScores(work);
      const totalSums = [rowLogSumExp(work)];
      const bytesScanned = n * rowBytes(shape.headDim, shape.precision);
      const limit = maxKeys(budget, work);
      const count = budget.tailMass === undefined ? limit : keysForMass(scores, budget.tailMass, limit);
      selectByScores(work, count);
      return { count: Math.min(count, n), totalSums, bytesScanned };
    },
  };
}
