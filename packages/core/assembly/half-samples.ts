/** The two half-samples of a block: merged, and compared for the error estimate. */
import { exponential1, sumLanes } from './exponential';
import { HALF_SAMPLE_NUMBERS } from './generated';
import { logarithm } from './logarithm';
import { stateOutput } from './softmax';

/** See `QuantizedKernels.mergeHalfSamples`. */
export function mergeHalfSamples(
  state: usize,
  firstHalf: usize,
  secondHalf: usize,
  rows: i32,
  d: i32,
  outputs: usize,
  errors: usize,
): void {
  let sum0 = stateOutput(state, rows);
  let sum1 = stateOutput(firstHalf, rows);
  let sum2 = stateOutput(secondHalf, rows);
  const bytes = <usize>d << 2;
  for (let r = 0; r < rows; r++) {
    const maxScore = max(max(load<f32>(state), load<f32>(firstHalf)), load<f32>(secondHalf));
    const weight0 = exponential1(load<f32>(state) - maxScore);
    const weight1 = exponential1(load<f32>(firstHalf) - maxScore);
    const weight2 = exponential1(load<f32>(secondHalf) - maxScore);
    const mass1 = load<f32>(firstHalf, 4) * weight1;
    const mass2 = load<f32>(secondHalf, 4) * weight2;
    const total = load<f32>(state, 4) * weight0 + mass1 + mass2;
    const f0 = f32x4.splat(weight0 / total);
    const f1 = f32x4.splat(weight1 / total);
    const f2 = f32x4.splat(weight2 / total);
    const difference = f32x4.splat((mass1 - mass2) / total);
    let squaredError = f32x4.splat(0.0);
    let squaredNorm = f32x4.splat(0.0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const x1 = f32x4.mul(v128.load(sum1 + i), f1);
      const x2 = f32x4.mul(v128.load(sum2 + i), f2);
      const output = f32x4.add(f32x4.mul(v128.load(sum0 + i), f0), f32x4.add(x1, x2));
      const error = f32x4.sub(f32x4.sub(x1, x2), f32x4.mul(difference, output));
      squaredError = f32x4.add(squaredError, f32x4.mul(error, error));
      squaredNorm = f32x4.add(squaredNorm, f32x4.mul(output, output));
      v128.store(outputs + i, output);
    }
    store<f32>(errors, (mass1 + mass2) / total);
    store<f32>(errors, sumLanes(squaredError), 4);
    store<f32>(errors, sumLanes(squaredNorm), 8);
    store<f32>(errors, (mass1 - mass2) / total, 12);
    store<f32>(errors, <f32>(<f64>maxScore + logarithm(total)), 16);
    state += 8;
    firstHalf += 8;
    secondHalf += 8;
    sum0 += bytes;
    sum1 += bytes;
    sum2 += bytes;
    outputs += bytes;
    errors += HALF_SAMPLE_NUMBERS << 2;
  }
}
