/**
 * Fits of the needed keys on n, to single queries and on logarithmic scales: the power law with a bootstrap interval
 * (Efron 1979, percentiles), and the shape that describes the queries best by AICc (Hurvich and Tsai 1989).
 */
import { LAW_SHAPE_PARAMETERS, LAW_SHAPES, type LawFit, type LawShape } from 'keysieve';
import type { Random } from '../numerics/random.ts';
import { quantile, standardDeviation } from '../numerics/statistics.ts';
import { residualSquares, SHAPES } from './shapes.ts';

/** For each query: the keys in its context, and those that it needed. */
export interface NeededKeys {
  n: ArrayLike<number>;
  keys: ArrayLike<number>;
}

const RESAMPLES = 200;
/** The smallest variance of residuals, so that a law without any noise still has a finite likelihood. */
const MIN_VARIANCE = 1e-9;

/** Fits the law. The n must not all be equal. */
export function fitLaw({ n, keys }: NeededKeys, random: Random): LawFit {
  const logN = Float64Array.from(n, Math.log);
  const logKeys = Float64Array.from(keys, Math.log);
  const fits = LAW_SHAPES.map((shape) => {
    const parameters = SHAPES[shape].fit(logN, logKeys);
    return { shape, parameters, aicc: aicc(residualSquares(shape, parameters, logN, logKeys), n.length, shape) };
  });
  const best = fits.reduce((a, b) => (b.aicc < a.aicc ? b : a));
  const power = fits.find(({ shape }) => shape === 'power') as (typeof fits)[number];
  const [alpha = 1, C = 0] = power.parameters;
  const deltaAicc = Object.fromEntries(fits.map(({ shape, aicc }) => [shape, aicc - best.aicc]));
  return {
    alpha,
    C,
    interval: slopeInterval(logN, logKeys, random),
    r2: explainedVariance(power.parameters, logN, logKeys),
    shape: best.shape,
    parameters: best.parameters,
    deltaAicc: deltaAicc as Record<LawShape, number>,
  };
}

/** AICc for normal residuals, whose variance is one more parameter. */
function aicc(squares: number, count: number, shape: LawShape): number {
  const parameters = LAW_SHAPE_PARAMETERS[shape] + 1;
  const correction = (2 * parameters * (parameters + 1)) / Math.max(1, count - parameters - 1);
  return count * Math.log(Math.max(squares / count, MIN_VARIANCE)) + 2 * parameters + correction;
}

function explainedVariance(parameters: readonly number[], logN: Float64Array, logKeys: Float64Array): number {
  const variance = standardDeviation(logKeys) ** 2;
  return variance > MIN_VARIANCE
    ? 1 - residualSquares('power', parameters, logN, logKeys) / (variance * logKeys.length)
    : 1;
}

/** The 2.5 % and 97.5 % quantiles of the slope over resamples of the queries. */
function slopeInterval(logN: Float64Array, logKeys: Float64Array, random: Random): [number, number] {
  const slopes = new Float64Array(RESAMPLES);
  const count = logN.length;
  for (let i = 0; i < RESAMPLES; i++) {
    let [x, y, xx, xy] = [0, 0, 0, 0];
    for (let j = 0; j < count; j++) {
      const index = random.below(count);
      const [atX, atY] = [logN[index] as number, logKeys[index] as number];
      x += atX;
      y += atY;
      xx += atX * atX;
      xy += atX * atY;
    }
    const spread = xx - (x * x) / count;
    slopes[i] = spread > 1e-12 * xx ? (xy - (x * y) / count) / spread : 0;
  }
  return [quantile(slopes, 0.025), quantile(slopes, 0.975)];
}
