/** Extrapolation, tried: laws are fitted on short contexts, and what they predict of the longest is compared with it. */

import { type Extrapolation, HEAD_KINDS, type HeadKind } from 'keysieve';
import { mean, rootMeanSquare } from '../numerics/statistics.ts';
import { fitGrowth, type LogKeys, predictLogKeys, shrinkSlopes } from './growth.ts';

/** A head: its queries up to the length that is fitted to, and those of the length that is predicted. */
export interface ExtrapolatedHead {
  kind: HeadKind;
  fitted: LogKeys;
  measured: LogKeys;
}

export function measureExtrapolation(
  heads: readonly ExtrapolatedHead[],
  fittedTo: number,
  predicted: number,
): Extrapolation {
  const growths = heads.map(({ fitted }) => fitGrowth(fitted));
  const slopes = shrinkSlopes(growths);
  /** ln(predicted / measured) */
  const logErrors = heads.map(({ kind, measured }, i) => {
    const growth = growths[i] as (typeof growths)[number];
    const [n, keys] = [mean(measured.logN), mean(measured.logKeys)];
    const miss = (slope: number) => predictLogKeys(growth, slope, n) - keys;
    return { kind, shrunk: miss(slopes[i] as number), own: miss(growth.C.value) };
  });
  return {
    fittedTo,
    predicted,
    kinds: HEAD_KINDS.map((kind) => {
      const ofKind = logErrors.filter((miss) => miss.kind === kind);
      const shrunk = ofKind.map((miss) => miss.shrunk);
      return {
        kind,
        heads: ofKind.length,
        bias: mean(shrunk),
        error: rootMeanSquare(shrunk),
        unshrunkError: rootMeanSquare(ofKind.map((miss) => miss.own)),
      };
    }).filter(({ heads }) => heads > 0),
  };
}
