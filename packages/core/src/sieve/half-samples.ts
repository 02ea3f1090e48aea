/**
 * The error of a sampled sum, estimated from the sample itself (random half-samples, McCarthy 1969). The keys that were
 * not drawn with certainty are dealt into two halves A and B, which are nearly independent. With N and Z the parts of
 * numerator and denominator that a half holds, and o the output, (N_A - Z_A o) - (N_B - Z_B o) has the same variance as
 * the sum of the two, so its norm divided by the whole Z estimates the error of o. It is an estimate only: a heavy key
 * that neither half has drawn is in neither.
 */
import { logSumExp, readLogSumExp, type ThreadRegion, unnormalizedOutputs } from '../group/group-work.ts';

/** One row of a half-sample. */
export interface HalfSample {
  /** ln Z */
  logSum: number;
  max: number;
  /** N / e^max (d) */
  numerator: Float32Array;
}

/** One row of a softmax state of `rows` rows of `dimensions` numbers. `numerator` is a view of it. */
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
