/** Sums and stores of the lanes of vectors. */

/** Adds the halves of two vectors of int32: the first step of `sumPairs`. */
@inline
export function halve(a: v128, b: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
}

/** The sums of the lanes of four vectors of int32, which `halve` has added in pairs. */
@inline
export function sumPairs(ab: v128, ce: v128): v128 {
  return i32x4.add(v128.shuffle<i32>(ab, ce, 0, 1, 4, 5), v128.shuffle<i32>(ab, ce, 2, 3, 6, 7));
}

/** The sum of four lanes of int32. */
@inline
export function sumInts(x: v128): i32 {
  return (
    i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3)
  );
}

/** The largest of eight lanes of int16. */
@inline
export function maxLane(x: v128): i32 {
  const four = i32x4.max_s(i32x4.extend_low_i16x8_s(x), i32x4.extend_high_i16x8_s(x));
  const a = max(i32x4.extract_lane(four, 0), i32x4.extract_lane(four, 1));
  return max(a, max(i32x4.extract_lane(four, 2), i32x4.extract_lane(four, 3)));
}

/** Stores four floats, or the first `count` if there are fewer. */
@inline
export function storeFirst(x: v128, count: i32, destination: usize): void {
  if (count >= 4) {
    v128.store(destination, x);
    return;
  }
  v128.store_lane<f32>(destination, x, 0);
  if (count > 1) v128.store_lane<f32>(destination + 4, x, 1);
  if (count > 2) v128.store_lane<f32>(destination + 8, x, 2);
}

/** Transposes four vectors of floats, and adds them, less `middle`, to 16 floats at `destination`. */
@inline
export function addTransposed(a: v128, b: v128, c: v128, e: v128, middle: v128, destination: usize): void {
  const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const ce0 = v128.shuffle<f32>(c, e, 0, 4, 1, 5);
  const ce1 = v128.shuffle<f32>(c, e, 2, 6, 3, 7);
  addTo(destination, f32x4.sub(v128.shuffle<f32>(ab0, ce0, 0, 1, 4, 5), middle));
  addTo(destination + 16, f32x4.sub(v128.shuffle<f32>(ab0, ce0, 2, 3, 6, 7), middle));
  addTo(destination + 32, f32x4.sub(v128.shuffle<f32>(ab1, ce1, 0, 1, 4, 5), middle));
  addTo(destination + 48, f32x4.sub(v128.shuffle<f32>(ab1, ce1, 2, 3, 6, 7), middle));
}

@inline
function addTo(destination: usize, x: v128): void {
  v128.store(destination, f32x4.add(v128.load(destination), x));
}
