/**
 * The error of a sampled sum, from the sample itself. The keys that were not drawn for certain are dealt out over two
 * halves, A and B, which are as good as independent. With N and Z their parts of the numerator and of the denominator
 * and o the output, (N_A - Z_A o) - (N_B - Z_B o) spreads as the sum of the two does, so its norm over the whole Z
 * estimates the error of the output (random half-samples, McCarthy 1969). It is an estimate: a heavy key that neither
 * half has drawn is in neither.
 */
import { logSumExp, readLogSumExp, type ThreadRegion, unnormalizedOutputs } from '../group/group-work.ts';

/** One row of a half: its part Z of the denominator, as a logarithm, and N / e^largest of the numerator (d). */
export interface HalfSample {
  logSum: number;
  max: number;
  numerator: Float32Array;
}

/** Row number `row` of a state of `rows` rows of `dimensions` numbers: a view of it. */
export function halfSampleOf(
  region: ThreadRegion,
  state: number,
  rows: number,
  dimensions: number,
  row: number,
): HalfSample {
  const sum = readLogSumExp(region.views(), state + row * 8);
  const numerator = unnormalizedOutputs(region, state, rows, dimensions).subarray(
    row * dimensions,
    (row + 1) * dimensions,
  );
  return { logSum: logSumExp(sum), max: sum.max, numerator };
}

/** ||(N_A - Z_A o) - (N_B - Z_B o)|| / Z, where Z = e^total. */
export function halfSampleDistance(a: HalfSample, b: HalfSample, output: Float32Array, total: number): number {
  const [scaleA, scaleB] = [Math.exp(a.max - total), Math.exp(b.max - total)];
  const massDifference = Math.exp(a.logSum - total) - Math.exp(b.logSum - total);
  let squared = 0;
  for (let i = 0; i < output.length; i++) {
    const difference = (a.numerator[i] as number) * scaleA - (b.numerator[i] as number) * scaleB;
    const x = difference - massDifference * (output[i] as number);
    squared += x * x;
  }
  return Math.sqrt(squared);
}
