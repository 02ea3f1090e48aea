/** The shapes that are fitted to the growth of the keys with n, on logarithmic scales. */
import type { LawFit, LawShape } from 'keysieve';
import { fitLine, mean } from '../numerics/statistics.ts';

/** A shape: ln keys at ln n from its parameters, and its least-squares fit. */
interface Shape {
  logKeys(parameters: readonly number[], logN: number): number;
  /** Least squares of ln keys on ln n. */
  fit(logN: ArrayLike<number>, logKeys: ArrayLike<number>): number[];
}

/** `half` of a saturating law is searched on a grid between these multiples of the shortest and the longest n. */
const MIN_HALF_RATIO = 1 / 4;
const MAX_HALF_RATIO = 4;
const HALF_CANDIDATES = 33;

/** All shapes, by name. */
export const SHAPES: Readonly<Record<LawShape, Shape>> = {
  /** [keys]: a constant. */
  constant: {
    logKeys: ([keys = 1]) => Math.log(keys),
    fit: (_, logKeys) => [Math.exp(mean(logKeys))],
  },
  /** [alpha, C]: alpha n^C. */
  power: {
    logKeys: ([alpha = 1, C = 0], logN) => Math.log(alpha) + C * logN,
    fit(logN, logKeys) {
      const { intercept, slope } = fitLine(logN, logKeys);
      return [Math.exp(intercept), slope];
    },
  },
  /** [rate]: rate n. */
  linear: {
    logKeys: ([rate = 1], logN) => Math.log(rate) + logN,
    fit: (logN, logKeys) => [Math.exp(mean(logKeys) - mean(logN))],
  },
  /** [limit, half]: limit n / (n + half), which is half of the limit at n = half. */
  saturating: {
    logKeys: ([limit = 1, half = 1], logN) => Math.log(limit) + logN - Math.log(Math.exp(logN) + half),
    fit(logN, logKeys) {
      const [from, to] = minMax(logN);
      const [low, high] = [from + Math.log(MIN_HALF_RATIO), to + Math.log(MAX_HALF_RATIO)];
      const n = Float64Array.from(logN, Math.exp);
      let best = { squares: Number.POSITIVE_INFINITY, parameters: [1, 1] };
      for (let i = 0; i < HALF_CANDIDATES; i++) {
        const half = Math.exp(low + ((high - low) * i) / (HALF_CANDIDATES - 1));
        // For a given half, ln limit is the mean of ln keys - ln n + ln(n + half), and the rest are residuals.
        let [sum, squared] = [0, 0];
        for (let j = 0; j < n.length; j++) {
          const residual = (logKeys[j] as number) - (logN[j] as number) + Math.log((n[j] as number) + half);
          sum += residual;
          squared += residual * residual;
        }
        const logLimit = sum / n.length;
        const squares = squared - sum * logLimit;
        if (squares < best.squares) best = { squares, parameters: [Math.exp(logLimit), half] };
      }
      return best.parameters;
    },
  },
};

/** The keys that a fit predicts at n, by its best shape: from 1 to n, not rounded. */
export function keysFromFit({ shape, parameters }: Pick<LawFit, 'shape' | 'parameters'>, n: number): number {
  return Math.min(n, Math.max(1, Math.exp(SHAPES[shape].logKeys(parameters, Math.log(n)))));
}

/** The sum of squared residuals of ln keys. */
export function residualSquares(
  shape: LawShape,
  parameters: readonly number[],
  logN: ArrayLike<number>,
  logKeys: ArrayLike<number>,
): number {
  let squares = 0;
  for (let i = 0; i < logN.length; i++) {
    squares += ((logKeys[i] as number) - SHAPES[shape].logKeys(parameters, logN[i] as number)) ** 2;
  }
  return squares;
}

function minMax(numbers: ArrayLike<number>): [number, number] {
  let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < numbers.length; i++) {
    from = Math.min(from, numbers[i] as number);
    to = Math.max(to, numbers[i] as number);
  }
  return [from, to];
}
