/**
 * Twilight (arXiv 2502.02770): every key is scored from its 4-bit key, and the largest scores are selected up to a share p
 * of the softmax: `mass:EPS` is p = 1 - EPS. A number of keys as budget selects that number of the largest scores. The heads
 * of a GQA group share a cache, so they select the union of their keys, by the largest share that a key has for any head.
 *
 * The paper prunes what another selector has found; here that is every key. A baseline, with its top-p in plain TypeScript.
 */
import type { ExtensionApi, GroupWork, Selector } from 'keysieve/extend';

export function createTwilight(api: ExtensionApi): Selector {
  const { centreBytes, firstUnquantizedKey, groupBudget, logSumExp, quantizedRowBytes, rowBytes, rowLogSumExp } = api;
  const { selectAllKeys, selectByScores, selectedPositions } = api;
  return {
    name: 'twilight',
    encodings: ['int4'],
    unit: 'group',
    certain: false,
    select(work, budget) {
      const { n, shape } = work;
      const { tailMass } = budget;
      const limit = groupBudget(work, budget);
      if (tailMass === undefined && limit >= n) {
        selectAllKeys(selectedPositions(work), n);
        return { count: n, bytesScanned: 0 };
      }
      scoreByInt4(api, work);
      const quantizedBytes = firstUnquantizedKey(n) * quantizedRowBytes(shape.headDim) + centreBytes(n, shape.headDim);
      const bytesScanned = quantizedBytes + (n - firstUnquantizedKey(n)) * rowBytes(shape.headDim, shape.precision);
      if (tailMass !== undefined) return { count: selectTopMass(api, work, tailMass), bytesScanned };
      maxOverRows(api, work, (row) => logSumExp(rowLogSumExp(work, row)));
      selectByScores(work, limit);
      return { count: Math.min(limit, n), bytesScanned };
    },
  };
}

/** Scores all keys from 4-bit keys, for all rows; those of the open page exactly. */
function scoreByInt4(api: ExtensionApi, work: GroupWork): void {
  api.prepareQuantizedQueries(work);
  api.scanAllKeys(work, api.workScanFractionBits(work));
  api.selectAllKeys(api.selectedPositions(work), work.n);
  api.scoreQuantizedKeys(work, api.firstUnquantizedKey(work.n));
}

/** Selects sinks, recent keys and those that any row needs for its share 1 - `tailMass`. Returns their number. */
function selectTopMass(api: ExtensionApi, work: GroupWork, tailMass: number): number {
  const { n } = work;
  const { sinks, recent } = api.sinksAndRecent(n);
  maxOverRows(api, work, (row) => api.minReadScore(api.rowScores(work, row), tailMass));
  const margins = api.rowScores(work);
  const positions = api.selectedPositions(work);
  let count = 0;
  for (let j = 0; j < n; j++) {
    if (j < sinks || j >= n - recent || (margins[j] as number) >= 0) positions[count++] = j;
  }
  return count;
}

/** Subtracts `offset` from the scores of each row, and leaves the maximum over the rows in row 0. */
function maxOverRows(
  { primaryRegion, rowScores, scoreStrideOf }: ExtensionApi,
  work: GroupWork,
  offset: (row: number) => number,
): void {
  const { kernels, views, workspace } = primaryRegion(work);
  const { n, rows } = work;
  const offsets = Array.from({ length: rows }, (_, row) => offset(row));
  views().f32.set(offsets, workspace.offsets / 4);
  kernels.maxScoresOverHeads(workspace.scores, scoreStrideOf(work), rows, n, workspace.offsets, workspace.pooled);
  rowScores(work).set(views().f32.subarray(workspace.pooled / 4, workspace.pooled / 4 + n));
}
