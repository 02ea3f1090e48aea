/**
 * StreamingLLM (arXiv 2309.17453): the first keys, which serve as sinks, and the last ones. All heads of a group have the
 * same ones, and read them together. It looks at no score, so with a budget of a mass it has to score all keys to know
 * how far back to reach.
 */
import { positionsBuffer, scoreAll, scoresOf, sumOfScores } from '../cache/head-query.ts';
import { rowBytes } from '../kernels/layout.ts';
import { keysOfGroup, type Selection, type Selector, SINK_KEYS, selectAll, writeKept } from './selector.ts';

export default function createWindow(): Selector {
  return {
    name: 'window',
    planes: [],
    unit: 'group',
    certain: true,
    select(query, budget): Selection {
      const { n, rows, shape } = query;
      const limit = keysOfGroup(query, budget);
      const positions = positionsBuffer(query);
      const choose = (count: number) => {
        if (count >= n) selectAll(positions, n);
        else writeKept(positions, n, sinksOf(count), count - sinksOf(count), 0);
        return Math.min(count, n);
      };
      const { tailMass } = budget;
      if (tailMass === undefined) return { count: choose(limit), bytesScanned: 0 };
      scoreAll(query);
      const every = Array.from({ length: rows }, (_, row) => row);
      const reach = Math.max(...every.map((row) => reachForMass(scoresOf(query, row), tailMass)));
      const totals = every.map((row) => sumOfScores(query, row));
      const bytesScanned = n * rowBytes(shape.headDim, shape.precision);
      return { count: choose(Math.min(limit, reach)), totals, bytesScanned };
    },
  };
}

const sinksOf = (count: number): number => Math.min(SINK_KEYS, Math.floor(count / 2));

/** The fewest keys of a window that leave at most `tailMass` of the softmax unread. */
export function reachForMass(scores: Float32Array, tailMass: number): number {
  const n = scores.length;
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const allowed = tailMass * scores.reduce((sum, score) => sum + Math.exp(score - largest), 0);
  let unread = 0;
  for (let position = SINK_KEYS; position < n; position++) {
    unread += Math.exp((scores[position] as number) - largest);
    if (unread > allowed) return Math.max(n - position + SINK_KEYS, Math.min(n, 2 * SINK_KEYS));
  }
  return Math.min(n, 2 * SINK_KEYS);
}
