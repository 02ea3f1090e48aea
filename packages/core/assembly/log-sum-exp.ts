/** Running log-sum-exp over scores alone. */
import { exponential, exponential1, maxLanes, sumLanes } from './exponential';

/** See `Kernels.updateLogSumExp`. */
export function updateLogSumExp(scores: usize, n: i32, statistics: usize): void {
  const whole = n & ~3;
  const previousMax = load<f32>(statistics);
  let best = f32x4.splat(previousMax);
  for (let i = 0; i < whole; i += 4) best = f32x4.pmax(best, v128.load(scores + (<usize>i << 2)));
  let maxScore = maxLanes(best);
  for (let i = whole; i < n; i++) maxScore = max(maxScore, load<f32>(scores + (<usize>i << 2)));
  if (maxScore == -Infinity) return;
  const shift = f32x4.splat(maxScore);
  // Sums of 64 scores in float32, added in float64: a plain float32 sum would lose a small tail.
  let sum = <f64>(load<f32>(statistics, 4) * (previousMax == maxScore ? <f32>1.0 : exponential1(previousMax - maxScore)));
  for (let from = 0; from < whole; from += 64) {
    const to = min(from + 64, whole);
    let part = f32x4.splat(0.0);
    for (let i = from; i < to; i += 4) {
      part = f32x4.add(part, exponential(f32x4.sub(v128.load(scores + (<usize>i << 2)), shift)));
    }
    sum += <f64>sumLanes(part);
  }
  for (let i = whole; i < n; i++) sum += <f64>exponential1(load<f32>(scores + (<usize>i << 2)) - maxScore);
  store<f32>(statistics, maxScore);
  store<f32>(statistics, <f32>sum, 4);
}
