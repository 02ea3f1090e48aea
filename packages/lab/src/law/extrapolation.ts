/** How well laws fitted to shorter contexts predict the longest one. */

import { type Extrapolation, HEAD_KINDS, type HeadKind } from 'keysieve';
import { mean, rootMeanSquare } from '../numerics/statistics.ts';
import { fitGrowth, type LogKeys, predictMeanKeys, shrinkSlopes } from './growth.ts';

/** The queries of a head up to the longest fitted length, and those at the predicted length. */
export interface ExtrapolatedHead {
  kind: HeadKind;
  fitted: LogKeys;
  measured: LogKeys;
}

/** Errors of the predictions by kind of head, with shrunk and with unshrunk slopes. */
export function measureExtrapolation(
  heads: readonly ExtrapolatedHead[],
  fittedTo: number,
  predicted: number,
): Extrapolation {
  const growths = heads.map(({ fitted }) => fitGrowth(fitted));
  const slopes = shrinkSlopes(growths);
  /** ln(predicted / measured), of mean keys. */
  const logErrors = heads.map(({ kind, measured }, i) => {
    const growth = growths[i] as (typeof growths)[number];
    const [n, keys] = [Math.exp(mean(measured.logN)), mean(Float64Array.from(measured.logKeys, Math.exp))];
    const logError = (slope: number) => Math.log(predictMeanKeys(growth, slope, n) / keys);
    return { kind, shrunk: logError(slopes[i] as number), unshrunk: logError(growth.C.value) };
  });
  return {
    fittedTo,
    predicted,
    kinds: HEAD_KINDS.map((kind) => {
      const ofKind = logErrors.filter((head) => head.kind === kind);
      const shrunk = ofKind.map((head) => head.shrunk);
      return {
        kind,
        heads: ofKind.length,
        bias: mean(shrunk),
        error: rootMeanSquare(shrunk),
        unshrunkError: rootMeanSquare(ofKind.map(({ unshrunk }) => unshrunk)),
      };
    }).filter(({ heads }) => heads > 0),
  };
}
