/**
 * StreamingLLM (arXiv 2309.17453): the first keys, which serve as attention sinks, and the last ones, the same for all
 * heads of a GQA group. It needs no scores; only for a budget of tail mass it scores all keys to know how far back the
 * window must reach.
 */
import { rowLogSumExp, rowScores, scoreAllKeys, selectedPositions } from '../group/group-work.ts';
import { rowBytes } from '../kernels/layout.ts';
import {
  groupBudget,
  type Selection,
  type Selector,
  SINK_KEYS,
  selectAllKeys,
  writeSinksAndRecent,
} from './selector.ts';

export default function createWindow(): Selector {
  return {
    name: 'window',
    encodings: [],
    unit: 'group',
    certain: true,
    select(work, budget): Selection {
      const { n, rows, shape } = work;
      const limit = groupBudget(work, budget);
      const positions = selectedPositions(work);
      const selectWindow = (count: number) => {
        if (count >= n) selectAllKeys(positions, n);
        else writeSinksAndRecent(positions, n, sinksOf(count), count - sinksOf(count), 0);
        return Math.min(count, n);
      };
      const { tailMass } = budget;
      if (tailMass === undefined) return { count: selectWindow(limit), bytesScanned: 0 };
      scoreAllKeys(work);
      const rowIndices = Array.from({ length: rows }, (_, row) => row);
      const reach = Math.max(...rowIndices.map((row) => reachForMass(rowScores(work, row), tailMass)));
      const totalSums = rowIndices.map((row) => rowLogSumExp(work, row));
      const bytesScanned = n * rowBytes(shape.headDim, shape.precision);
      return { count: selectWindow(Math.min(limit, reach)), totalSums, bytesScanned };
    },
  };
}

const sinksOf = (count: number): number => Math.min(SINK_KEYS, Math.floor(count / 2));

/** The fewest keys of a window that leave at most `tailMass` of the softmax unread. */
export function reachForMass(scores: Float32Array, tailMass: number): number {
  const n = scores.length;
  const max = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const allowedMass = tailMass * scores.reduce((sum, score) => sum + Math.exp(score - max), 0);
  let unreadMass = 0;
  for (let position = SINK_KEYS; position < n; position++) {
    unreadMass += Math.exp((scores[position] as number) - max);
    if (unreadMass > allowedMass) return Math.max(n - position + SINK_KEYS, Math.min(n, 2 * SINK_KEYS));
  }
  return Math.min(n, 2 * SINK_KEYS);
}
