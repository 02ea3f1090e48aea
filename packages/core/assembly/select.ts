/**
 * The k largest of n scores, by radix selection on the bits of the floats: 12 bits, then 12, then 8. Ties go to the
 * earlier key.
 */

/** An integer that is ordered as the float is; adding 0 makes the two zeros equal. */
@inline
function order(address: usize): u32 {
  const bits = reinterpret<u32>(load<f32>(address) + <f32>0.0);
  return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

/**
 * Writes the positions of the `k` largest of `scores` (n), plus `base`, in ascending order into `indices` (k).
 * `histogram` holds 4,096 counts. k is between 1 and n.
 */
export function selectLargest(scores: usize, n: i32, k: i32, base: i32, indices: usize, histogram: usize): void {
  let prefix: u32 = 0;
  let prefixMask: u32 = 0;
  let remaining = k;
  let shift = 20;
  // After each round `prefix` has the upper bits of the k-th largest, and `remaining` keys with these bits are still to
  // be taken.
  while (true) {
    const bins = shift == 0 ? 256 : 4096;
    memory.fill(histogram, 0, bins << 2);
    for (let i = 0; i < n; i++) {
      const u = order(scores + (<usize>i << 2));
      if ((u & prefixMask) != prefix) continue;
      const bin = histogram + (<usize>((u >> shift) & (bins - 1)) << 2);
      store<i32>(bin, load<i32>(bin) + 1);
    }
    let bin = bins - 1;
    while (true) {
      const count = load<i32>(histogram + (<usize>bin << 2));
      if (count >= remaining) break;
      remaining -= count;
      bin--;
    }
    prefix |= <u32>bin << shift;
    prefixMask |= <u32>(bins - 1) << shift;
    if (shift == 0) break;
    shift = shift == 20 ? 8 : 0;
  }
  for (let i = 0; i < n; i++) {
    const u = order(scores + (<usize>i << 2));
    if (u < prefix) continue;
    if (u == prefix) {
      if (remaining == 0) continue;
      remaining--;
    }
    store<i32>(indices, base + i);
    indices += 4;
  }
}
