/**
 * The error of a sampled sum, from the sample itself. The keys that were not drawn for certain are dealt out over two
 * halves, A and B, which are as good as independent. With N and Z their parts of the numerator and of the denominator
 * and o the output, (N_A - Z_A o) - (N_B - Z_B o) spreads as the sum of the two does, so its norm over the whole Z
 * estimates the error of the output (random half-samples, McCarthy 1969). It is an estimate: a heavy key that neither
 * half has drawn is in neither.
 */
import { logOf, rawOutputs, readSum, type ThreadRegion } from '../cache/head-query.ts';
import { stateOutputs } from '../kernels/kernels.ts';

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

/** Of every row: the share of the softmax that the halves stand for, and how far the output may be off, relative to it. */
export interface HalvesEstimate {
  tailMass: Float32Array;
  outputError: Float32Array;
}

/**
 * The same for all rows of a block, from the states of the halves and of the whole, and its outputs (rows, d), all at
 * addresses of one region. By index: a prompt has hundreds of thousands of rows.
 */
export function compareHalves(
  { views }: ThreadRegion,
  states: { halves: readonly [number, number]; whole: number; outputs: number },
  rows: number,
  d: number,
): HalvesEstimate {
  const { f32 } = views();
  const at = (state: number) => ({ sums: state / 4, numerators: stateOutputs(state, rows) / 4 });
  const [a, b] = [at(states.halves[0]), at(states.halves[1])];
  const logSum = (sums: number, row: number) =>
    (f32[sums + 2 * row] as number) + Math.log(f32[sums + 2 * row + 1] as number);
  const tailMass = new Float32Array(rows);
  const outputError = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const total = logSum(states.whole / 4, row);
    const [massA, massB] = [Math.exp(logSum(a.sums, row) - total), Math.exp(logSum(b.sums, row) - total)];
    const scaleA = Math.exp((f32[a.sums + 2 * row] as number) - total);
    const scaleB = Math.exp((f32[b.sums + 2 * row] as number) - total);
    let [squared, norm] = [0, 0];
    for (let i = row * d; i < (row + 1) * d; i++) {
      const output = f32[states.outputs / 4 + i] as number;
      const difference = (f32[a.numerators + i] as number) * scaleA - (f32[b.numerators + i] as number) * scaleB;
      squared += (difference - (massA - massB) * output) ** 2;
      norm += output ** 2;
    }
    tailMass[row] = Math.min(1, massA + massB);
    outputError[row] = norm > 0 ? Math.sqrt(squared / norm) : Number.POSITIVE_INFINITY;
  }
  return { tailMass, outputError };
}
