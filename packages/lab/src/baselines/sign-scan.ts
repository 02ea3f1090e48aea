/** Selection by the encoding `sign` alone (RaBitQ, arXiv 2405.12497): the first step of the sieve, for comparison. */
import type { ExtensionApi, GroupWork, Selector } from 'keysieve/extend';

export function createSignScan(api: ExtensionApi): Selector {
  return {
    name: 'sign-scan',
    encodings: ['sign'],
    unit: 'head',
    certain: false,
    select(work, budget) {
      const { n, shape } = work;
      api.prepareQuantizedQueries(work);
      const bits = api.workScanFractionBits(work);
      api.scanAllKeys(work, bits);
      scanToScores(api, work, bits);
      const limit = api.maxKeys(budget, work);
      const count =
        budget.tailMass === undefined ? limit : api.keysForMass(api.rowScores(work), budget.tailMass, limit);
      api.selectByScores(work, count);
      return {
        count: Math.min(count, n),
        bytesScanned: api.signScanBytes(n, shape.headDim, api.rowBytes(shape.headDim, shape.precision)),
      };
    },
  };
}

/** Converts the scan of row 0 to scores in nats. */
function scanToScores({ primaryRegion, rowScores }: ExtensionApi, work: GroupWork, bits: number): void {
  const { views, workspace } = primaryRegion(work);
  const scores = rowScores(work);
  const { i16 } = views();
  for (let j = 0; j < work.n; j++) scores[j] = (i16[workspace.signScores / 2 + j] as number) * Math.LN2 * 2 ** -bits;
}
