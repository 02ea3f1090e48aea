/**
 * Quest (arXiv 2406.10774): of every 16 keys the box is known in which they lie, and with it a bound on their scores:
 * sum over the dimensions of max(q_i smallest_i, q_i largest_i). The minMax with the largest bounds are read whole. A
 * baseline: the minMax are read in plain TypeScript. What it leaves is bounded by the minMax too, loosely.
 */
import type { ExtensionApi, GroupWork, RunningLogSumExp, Selector } from 'keysieve/extend';

export function createQuest(api: ExtensionApi): Selector {
  const { firstUnquantizedKey, maxKeys, SINK_KEYS, selectAllKeys, selectedPositions, sinksAndRecent } = api;
  return {
    name: 'quest',
    encodings: ['minMax'],
    unit: 'head',
    certain: false,
    select(work, budget) {
      const { n, shape } = work;
      const limit = maxKeys(budget, work);
      const bounds = minMaxBounds(api, work);
      const bytesScanned = bounds.length * 2 * shape.headDim * 4;
      if (budget.tailMass === undefined && limit >= n) {
        selectAllKeys(selectedPositions(work), n);
        return { count: n, bytesScanned };
      }
      const order = Array.from(bounds.keys()).sort((a, b) => (bounds[b] as number) - (bounds[a] as number) || a - b);
      // The keys of the page that is not full yet are in no box: they are read, whatever the budget.
      const unquantizedKeys = n - firstUnquantizedKey(n);
      const { sinks, recent } = sinksAndRecent(
        unquantizedKeys === 0 ? limit : Math.max(limit, unquantizedKeys + SINK_KEYS),
      );
      const includedKeys = sinks + Math.max(unquantizedKeys, recent);
      const minMax =
        budget.tailMass === undefined
          ? Math.floor(Math.max(0, limit - includedKeys) / api.MIN_MAX_KEYS)
          : boxesForMass(bounds, order, budget.tailMass);
      const count = writeBoxes(api, work, new Set(order.slice(0, minMax)), sinks, n - includedKeys + sinks);
      return { count, bytesScanned, ...(count < n && { tailBound: boundUnselected(api, work, count, bounds) }) };
    },
  };
}

/** The bound of every whole page's minMax, for row 0. */
function minMaxBounds({ firstUnquantizedKey, MIN_MAX_KEYS, PAGE_KEYS }: ExtensionApi, work: GroupWork): Float64Array {
  const d = work.shape.headDim;
  const bounds = new Float64Array(firstUnquantizedKey(work.n) / MIN_MAX_KEYS);
  for (const { region, pages, from, to } of work.segments) {
    const { f32, u32 } = region.views();
    const queries = region.workspace.queries / 4;
    for (let first = from; first + MIN_MAX_KEYS <= Math.min(to, firstUnquantizedKey(work.n)); first += MIN_MAX_KEYS) {
      const page = Math.floor(first / PAGE_KEYS);
      const record = (u32[pages.table / 4 + page] as number) + pages.headOffset + pages.minMax;
      const minOffset = record / 4 + ((first % PAGE_KEYS) / MIN_MAX_KEYS) * 2 * d;
      let bound = 0;
      for (let i = 0; i < d; i++) {
        const q = f32[queries + i] as number;
        bound += q * (f32[q > 0 ? minOffset + d + i : minOffset + i] as number);
      }
      bounds[first / MIN_MAX_KEYS] = bound;
    }
  }
  return bounds;
}

/**
 * A bound on the sum over the keys that are not among the first `count` positions, each of which has at most the bound
 * of its box. The query that the bounds are of was scaled and rounded, which moves no score by more than u ||q|| ||k||.
 */
function boundUnselected(
  { MIN_MAX_KEYS, selectedPositions }: ExtensionApi,
  work: GroupWork,
  count: number,
  bounds: Float64Array,
): RunningLogSumExp {
  const keysLeft = new Uint8Array(bounds.length).fill(MIN_MAX_KEYS);
  for (const position of selectedPositions(work).subarray(0, count)) {
    const box = Math.floor(position / MIN_MAX_KEYS);
    // The keys of the open page are in no box.
    if (box < bounds.length) keysLeft[box] = (keysLeft[box] as number) - 1;
  }
  const logBounds = bounds.map((bound, box) => bound + Math.log(keysLeft[box] as number));
  const max = logBounds.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = logBounds.reduce((all, log) => all + Math.exp(log - max), 0);
  const roundingError = 1.01 * 2 ** -24 * (work.queryNorms[0] as number) * work.maxKeyNorm;
  return { max: max + roundingError, sum: sum * (1 + 1e-9) };
}

/** Runs of 16 keys, in order, that leave at most a share of the sum of all bounds: a guess, bounds are far above most scores. */
function boxesForMass(bounds: Float64Array, order: readonly number[], tailMass: number): number {
  const max = order.length === 0 ? 0 : (bounds[order[0] as number] as number);
  const weights = order.map((box) => Math.exp((bounds[box] as number) - max));
  let massLeft = tailMass * weights.reduce((sum, x) => sum + x, 0);
  let minMax = order.length;
  while (minMax > 0 && massLeft >= (weights[minMax - 1] as number)) massLeft -= weights[--minMax] as number;
  return minMax;
}

/** Writes the positions of the first `sinks` keys, of the minMax and of the keys from `keptFrom` on; returns how many they are. */
function writeBoxes(
  { MIN_MAX_KEYS, selectedPositions }: ExtensionApi,
  work: GroupWork,
  minMax: ReadonlySet<number>,
  sinks: number,
  recentFrom: number,
): number {
  const positions = selectedPositions(work);
  let count = 0;
  for (let j = 0; j < work.n; j++) {
    if (j < sinks || j >= recentFrom || minMax.has(Math.floor(j / MIN_MAX_KEYS))) positions[count++] = j;
  }
  return count;
}
