/**
 * The oracle: scores every key exactly and takes the largest. No selector of as many keys leaves less mass unread, so
 * the others are measured against it; it reads all keys itself.
 */
import { scoreAll, scoresOf, sumOfScores } from '../cache/head-query.ts';
import { rowBytes } from '../kernels/layout.ts';
import { keysForMass, selectByScores } from './by-scores.ts';
import type { Selector } from './selector.ts';

export default function createOracle(): Selector {
  return {
    name: 'oracle',
    planes: [],
    unit: 'head',
    certain: true,
    select(query, budget) {
      const { n, layer, head, shape } = query;
      scoreAll(query);
      const scores = scoresOf(query);
      const totals = [sumOfScores(query)];
      const bytesScanned = n * rowBytes(shape.headDim, shape.precision);
      const limit = budget.keys({ n, layer, head });
      const count = budget.tailMass === undefined ? limit : keysForMass(scores, budget.tailMass, limit);
      selectByScores(query, count);
      return { count: Math.min(count, n), totals, bytesScanned };
    },
  };
}
