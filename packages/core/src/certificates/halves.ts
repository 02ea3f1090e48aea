/**
 * The error of a sampled sum, from the sample itself. The keys that were not drawn for certain are dealt out over two
 * halves, A and B, which are as good as independent. With N and Z their parts of the numerator and of the denominator
 * and o the output, (N_A - Z_A o) - (N_B - Z_B o) spreads as the sum of the two does, so its norm over the whole Z
 * estimates the error of the output (random half-samples, McCarthy 1969). It is an estimate: a heavy key that neither
 * half has drawn is in neither.
 */
import { logOf, rawOutputs, readSum, type ThreadRegion } from '../cache/head-query.ts';

/** One row of a half: its part Z of the denominator, as a logarithm, and N / e^largest of the numerator (d). */
export interface Half {
  logSum: number;
  largest: number;
  numerator: Float32Array;
}

/** Row number `row` of a state of `rows` rows of `dimensions` numbers: a view of it. */
export function halfOf(region: ThreadRegion, state: number, rows: number, dimensions: number, row: number): Half {
  const sum = readSum(region.views(), state + row * 8);
  const numerator = rawOutputs(region, state, rows, dimensions).subarray(row * dimensions, (row + 1) * dimensions);
  return { logSum: logOf(sum), largest: sum.largest, numerator };
}

/** ||(N_A - Z_A o) - (N_B - Z_B o)|| / Z, where Z = e^total. */
export function distanceOfHalves(a: Half, b: Half, output: Float32Array, total: number): number {
  const [scaleA, scaleB] = [Math.exp(a.largest - total), Math.exp(b.largest - total)];
  const share = Math.exp(a.logSum - total) - Math.exp(b.logSum - total);
  let squared = 0;
  for (let i = 0; i < output.length; i++) {
    const difference = (a.numerator[i] as number) * scaleA - (b.numerator[i] as number) * scaleB;
    const x = difference - share * (output[i] as number);
    squared += x * x;
  }
  return Math.sqrt(squared);
}
