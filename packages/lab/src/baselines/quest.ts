/**
 * Quest (arXiv 2406.10774): the minima and maxima of every 16 keys bound their scores by the sum over the dimensions of
 * max(q_i min_i, q_i max_i), and the groups of 16 with the largest bounds are read whole. They also bound, loosely, the
 * mass of the others. A baseline, in plain TypeScript.
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
      // The page that is not full yet has no minima and maxima: its keys are read, whatever the budget.
      const unquantizedKeys = n - firstUnquantizedKey(n);
      const { sinks, recent } = sinksAndRecent(
        unquantizedKeys === 0 ? limit : Math.max(limit, unquantizedKeys + SINK_KEYS),
      );
      const includedKeys = sinks + Math.max(unquantizedKeys, recent);
      const groups =
        budget.tailMass === undefined
          ? Math.floor(Math.max(0, limit - includedKeys) / api.MIN_MAX_KEYS)
          : groupsForMass(bounds, order, budget.tailMass);
      const count = writeGroups(api, work, new Set(order.slice(0, groups)), sinks, n - includedKeys + sinks);
      return { count, bytesScanned, ...(count < n && { tailBound: boundUnselected(api, work, count, bounds) }) };
    },
  };
}

/** The bounds of all groups of 16 keys in full pages, for row 0. */
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
 * Upper bound on the log-sum-exp over the keys that are not among the first `count` positions, each of which has at most the
 * bound of its group. The query was scaled and rounded, which moves no score by more than u ||q|| ||k||.
 */
function boundUnselected(
  { MIN_MAX_KEYS, selectedPositions }: ExtensionApi,
  work: GroupWork,
  count: number,
  bounds: Float64Array,
): RunningLogSumExp {
  const keysLeft = new Uint8Array(bounds.length).fill(MIN_MAX_KEYS);
  for (const position of selectedPositions(work).subarray(0, count)) {
    const group = Math.floor(position / MIN_MAX_KEYS);
    // The keys of the open page are in no group.
    if (group < bounds.length) keysLeft[group] = (keysLeft[group] as number) - 1;
  }
  const logBounds = bounds.map((bound, group) => bound + Math.log(keysLeft[group] as number));
  const max = logBounds.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = logBounds.reduce((all, log) => all + Math.exp(log - max), 0);
  const roundingError = 1.01 * 2 ** -24 * (work.queryNorms[0] as number) * work.maxKeyNorm;
  return { max: max + roundingError, sum: sum * (1 + 1e-9) };
}

/** Number of groups, in order, that leave at most `tailMass` of the sum of all bounds: a guess, as bounds are loose. */
function groupsForMass(bounds: Float64Array, order: readonly number[], tailMass: number): number {
  const max = order.length === 0 ? 0 : (bounds[order[0] as number] as number);
  const weights = order.map((group) => Math.exp((bounds[group] as number) - max));
  let massLeft = tailMass * weights.reduce((sum, x) => sum + x, 0);
  let groups = order.length;
  while (groups > 0 && massLeft >= (weights[groups - 1] as number)) massLeft -= weights[--groups] as number;
  return groups;
}

/** Writes the positions of sinks, of the keys of some groups and of the keys from `recentFrom` on. Returns their number. */
function writeGroups(
  { MIN_MAX_KEYS, selectedPositions }: ExtensionApi,
  work: GroupWork,
  groups: ReadonlySet<number>,
  sinks: number,
  recentFrom: number,
): number {
  const positions = selectedPositions(work);
  let count = 0;
  for (let j = 0; j < work.n; j++) {
    if (j < sinks || j >= recentFrom || groups.has(Math.floor(j / MIN_MAX_KEYS))) positions[count++] = j;
  }
  return count;
}
