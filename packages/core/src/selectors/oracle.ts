/**
 * The oracle: scores every key exactly and takes the largest. No selector of as many keys leaves less mass unread, so
 * the others are measured against it; it reads all keys itself.
 */
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
      const { n, layer, head, shape } = work;
      scoreAllKeys(work);
      const scores = rowScores(work);
      const totalSums = [rowLogSumExp(work)];
      const bytesScanned = n * rowBytes(shape.headDim, shape.precision);
      const limit = budget.keys({ n, layer, head });
      const count = budget.tailMass === undefined ? limit : keysForMass(scores, budget.tailMass, limit);
      selectByScores(work, count);
      return { count: Math.min(count, n), totalSums, bytesScanned };
    },
  };
}
