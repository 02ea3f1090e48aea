/**
 * ln x of a normal number above 0, to 1e-12; -infinity for 0. The standard library's needs tables in memory, which does
 * not belong to the module.
 */
export function logarithm(x: f32): f64 {
  if (x <= 0) return -Infinity;
  const bits = reinterpret<u32>(x);
  // x = 2^e m, m from 1/sqrt(2) to sqrt(2).
  const e = <i32>(bits - 0x3f3504f3) >> 23;
  const m = <f64>reinterpret<f32>(bits - (<u32>e << 23));
  // ln m = 2 artanh((m - 1) / (m + 1)), a series in odd powers of at most .1716.
  const s = (m - 1) / (m + 1);
  const z = s * s;
  let sum = 1.0 / 15.0;
  sum = sum * z + 1.0 / 13.0;
  sum = sum * z + 1.0 / 11.0;
  sum = sum * z + 1.0 / 9.0;
  sum = sum * z + 1.0 / 7.0;
  sum = sum * z + 1.0 / 5.0;
  sum = sum * z + 1.0 / 3.0;
  sum = sum * z + 1.0;
  return 2 * s * sum + <f64>e * 0.6931471805599453;
}
