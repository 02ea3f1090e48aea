/**
 * Quest (arXiv 2406.10774): of every 16 keys the box is known in which they lie, and with it a bound on their scores:
 * sum over the dimensions of max(q_i smallest_i, q_i largest_i). The boxes with the largest bounds are read whole. A
 * baseline: the boxes are read in plain TypeScript. What it leaves is bounded by the boxes too, loosely.
 */
import { openFrom } from '../cache/code-query.ts';
import { type HeadQuery, positionsBuffer, type SoftmaxSum } from '../cache/head-query.ts';
import { BOX_KEYS, PAGE_KEYS } from '../kernels/layout.ts';
import { keptKeys, type Selector, SINK_KEYS, selectAll } from './selector.ts';

export default function createQuest(): Selector {
  return {
    name: 'quest',
    planes: ['boxes'],
    unit: 'head',
    certain: false,
    select(query, budget) {
      const { n, layer, head, shape } = query;
      const limit = budget.keys({ n, layer, head });
      const bounds = boxBounds(query);
      const bytesScanned = bounds.length * 2 * shape.headDim * 4;
      if (budget.tailMass === undefined && limit >= n) {
        selectAll(positionsBuffer(query), n);
        return { count: n, bytesScanned };
      }
      const order = Array.from(bounds.keys()).sort((a, b) => (bounds[b] as number) - (bounds[a] as number) || a - b);
      // The keys of the page that is not full yet are in no box: they are read, whatever the budget.
      const open = n - openFrom(n);
      const { sinks, recent } = keptKeys(open === 0 ? limit : Math.max(limit, open + SINK_KEYS));
      const kept = sinks + Math.max(open, recent);
      const boxes =
        budget.tailMass === undefined
          ? Math.floor(Math.max(0, limit - kept) / BOX_KEYS)
          : boxesForMass(bounds, order, budget.tailMass);
      const count = writeBoxes(query, new Set(order.slice(0, boxes)), sinks, n - kept + sinks);
      return { count, bytesScanned, ...(count < n && { tailBound: boundTail(query, count, bounds) }) };
    },
  };
}

/** The bound of every whole page's boxes, for row 0. */
function boxBounds(query: HeadQuery): Float64Array {
  const d = query.shape.headDim;
  const bounds = new Float64Array(openFrom(query.n) / BOX_KEYS);
  for (const { region, pages, from, to } of query.segments) {
    const { f32, u32 } = region.views();
    const queries = region.workspace.queries / 4;
    for (let first = from; first + BOX_KEYS <= Math.min(to, openFrom(query.n)); first += BOX_KEYS) {
      const page = Math.floor(first / PAGE_KEYS);
      const record = (u32[pages.table / 4 + page] as number) + pages.headOffset + pages.boxes;
      const smallest = record / 4 + ((first % PAGE_KEYS) / BOX_KEYS) * 2 * d;
      let bound = 0;
      for (let i = 0; i < d; i++) {
        const q = f32[queries + i] as number;
        bound += q * (f32[q > 0 ? smallest + d + i : smallest + i] as number);
      }
      bounds[first / BOX_KEYS] = bound;
    }
  }
  return bounds;
}

/**
 * A bound on the sum over the keys that are not among the first `count` positions, each of which has at most the bound
 * of its box. The query that the bounds are of was scaled and rounded, which moves no score by more than u ||q|| ||k||.
 */
function boundTail(query: HeadQuery, count: number, bounds: Float64Array): SoftmaxSum {
  const keysLeft = new Uint8Array(bounds.length).fill(BOX_KEYS);
  for (const position of positionsBuffer(query).subarray(0, count)) {
    const box = Math.floor(position / BOX_KEYS);
    // The keys of the open page are in no box.
    if (box < bounds.length) keysLeft[box] = (keysLeft[box] as number) - 1;
  }
  const left = bounds.map((bound, box) => bound + Math.log(keysLeft[box] as number));
  const largest = left.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = left.reduce((all, log) => all + Math.exp(log - largest), 0);
  const moved = 1.01 * 2 ** -24 * (query.norms[0] as number) * query.keyNorm;
  return { largest: largest + moved, sum: sum * (1 + 1e-9) };
}

/** Boxes, in order, that leave at most a share of the sum of all bounds: a guess, bounds are far above most scores. */
function boxesForMass(bounds: Float64Array, order: readonly number[], tailMass: number): number {
  const largest = order.length === 0 ? 0 : (bounds[order[0] as number] as number);
  const weights = order.map((box) => Math.exp((bounds[box] as number) - largest));
  let left = tailMass * weights.reduce((sum, x) => sum + x, 0);
  let boxes = order.length;
  while (boxes > 0 && left >= (weights[boxes - 1] as number)) left -= weights[--boxes] as number;
  return boxes;
}

/** Writes the positions of the first `sinks` keys, of the boxes and of the keys from `keptFrom` on; returns how many they are. */
function writeBoxes(query: HeadQuery, boxes: ReadonlySet<number>, sinks: number, keptFrom: number): number {
  const positions = positionsBuffer(query);
  let count = 0;
  for (let j = 0; j < query.n; j++) {
    if (j < sinks || j >= keptFrom || boxes.has(Math.floor(j / BOX_KEYS))) positions[count++] = j;
  }
  return count;
}
