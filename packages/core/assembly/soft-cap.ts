/** Soft caps of scores (Gemma 2, arXiv 2408.00118, section 2): s becomes cap tanh(s / cap). */
import { exponential } from './exponential';

/**
 * tanh of four floats, as the Cephes library's tanhf has it: an odd polynomial up to .625, and 1 - 2 / (e^2x + 1) beyond,
 * here with e^-2x.
 */
@inline
function tanh4(x: v128): v128 {
  const a = f32x4.abs(x);
  const square = f32x4.mul(x, x);
  let p = f32x4.splat(<f32>-5.70498872745e-3);
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(<f32>2.06390887954e-2));
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(<f32>-5.37397155531e-2));
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(<f32>1.33314422036e-1));
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(<f32>-3.33332819422e-1));
  const near = f32x4.add(f32x4.mul(f32x4.mul(p, square), x), x);
  const t = exponential(f32x4.mul(a, f32x4.splat(-2.0)));
  const one = f32x4.splat(1.0);
  const far = f32x4.sub(one, f32x4.div(f32x4.add(t, t), f32x4.add(one, t)));
  const sign = v128.and(x, f32x4.splat(-0.0));
  return v128.bitselect(near, v128.or(far, sign), f32x4.lt(a, f32x4.splat(<f32>0.625)));
}

/** Caps `count` scores (a multiple of 4), in place; 0 is no cap. */
@inline
export function capScores(scores: usize, count: i32, cap: f32): void {
  if (cap == 0.0) return;
  const scale = f32x4.splat(cap);
  const inverse = f32x4.splat(<f32>1.0 / cap);
  const end = scores + (<usize>count << 2);
  for (; scores < end; scores += 16) {
    v128.store(scores, f32x4.mul(scale, tanh4(f32x4.mul(v128.load(scores), inverse))));
  }
}
