/**
 * One query row against a few consecutive key or value rows of float32 in the first-level cache: the inner loops of
 * decoding.
 */

/**
 * Adds the four lanes of each of four vectors: lane i of the result is the sum of the lanes of vector i.
 */
@inline
function sumFour(a: v128, b: v128, c: v128, e: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const ce = f32x4.add(v128.shuffle<f32>(c, e, 0, 4, 1, 5), v128.shuffle<f32>(c, e, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, ce, 0, 1, 4, 5), v128.shuffle<f32>(ab, ce, 2, 3, 6, 7));
}

/** The scores of four rows of `bytes` bytes. */
@inline
function scoreFourRows(query: usize, k0: usize, k1: usize, k2: usize, k3: usize, bytes: usize): v128 {
  let s0 = f32x4.splat(0.0);
  let s1 = f32x4.splat(0.0);
  let s2 = f32x4.splat(0.0);
  let s3 = f32x4.splat(0.0);
  for (let j: usize = 0; j < bytes; j += 32) {
    const q0 = v128.load(query + j);
    const q1 = v128.load(query + j, 16);
    s0 = f32x4.add(f32x4.add(s0, f32x4.mul(q0, v128.load(k0 + j))), f32x4.mul(q1, v128.load(k0 + j, 16)));
    s1 = f32x4.add(f32x4.add(s1, f32x4.mul(q0, v128.load(k1 + j))), f32x4.mul(q1, v128.load(k1 + j, 16)));
    s2 = f32x4.add(f32x4.add(s2, f32x4.mul(q0, v128.load(k2 + j))), f32x4.mul(q1, v128.load(k2 + j, 16)));
    s3 = f32x4.add(f32x4.add(s3, f32x4.mul(q0, v128.load(k3 + j))), f32x4.mul(q1, v128.load(k3 + j, 16)));
  }
  return sumFour(s0, s1, s2, s3);
}

/** scores[i] = query (d) . keys[i] (count, d), for `count` rows, a multiple of 4. d is a multiple of 8. */
@inline
export function scoreRows(query: usize, keys: usize, count: i32, d: i32, scores: usize): void {
  const bytes = <usize>d << 2;
  for (let i = 0; i < count; i += 4) {
    const k0 = keys + <usize>i * bytes;
    const k1 = k0 + bytes;
    const k2 = k1 + bytes;
    v128.store(scores + (<usize>i << 2), scoreFourRows(query, k0, k1, k2, k2 + bytes, bytes));
  }
}

/** output (d) += sum of weights[i] * values[i] (count, d). d is a multiple of 8. */
@inline
export function addWeightedRows(weights: usize, values: usize, count: i32, d: i32, output: usize): void {
  const bytes = <usize>d << 2;
  const end = weights + (<usize>count << 2);
  let j: usize = 0;
  for (; j + 128 <= bytes; j += 128) {
    const o = output + j;
    let a = v128.load(o);
    let b = v128.load(o, 16);
    let c = v128.load(o, 32);
    let e = v128.load(o, 48);
    let f = v128.load(o, 64);
    let g = v128.load(o, 80);
    let h = v128.load(o, 96);
    let i = v128.load(o, 112);
    let row = values + j;
    for (let w = weights; w < end; w += 4) {
      const p = v128.load32_splat(w);
      a = f32x4.add(a, f32x4.mul(p, v128.load(row)));
      b = f32x4.add(b, f32x4.mul(p, v128.load(row, 16)));
      c = f32x4.add(c, f32x4.mul(p, v128.load(row, 32)));
      e = f32x4.add(e, f32x4.mul(p, v128.load(row, 48)));
      f = f32x4.add(f, f32x4.mul(p, v128.load(row, 64)));
      g = f32x4.add(g, f32x4.mul(p, v128.load(row, 80)));
      h = f32x4.add(h, f32x4.mul(p, v128.load(row, 96)));
      i = f32x4.add(i, f32x4.mul(p, v128.load(row, 112)));
      row += bytes;
    }
    v128.store(o, a);
    v128.store(o, b, 16);
    v128.store(o, c, 32);
    v128.store(o, e, 48);
    v128.store(o, f, 64);
    v128.store(o, g, 80);
    v128.store(o, h, 96);
    v128.store(o, i, 112);
  }
  for (; j < bytes; j += 32) {
    const o = output + j;
    let a = v128.load(o);
    let b = v128.load(o, 16);
    let row = values + j;
    for (let w = weights; w < end; w += 4) {
      const p = v128.load32_splat(w);
      a = f32x4.add(a, f32x4.mul(p, v128.load(row)));
      b = f32x4.add(b, f32x4.mul(p, v128.load(row, 16)));
      row += bytes;
    }
    v128.store(o, a);
    v128.store(o, b, 16);
  }
}

/** scores[i] = query (d) . the row `offsets[i]` bytes behind `keys`, for `count` rows, a multiple of 4. */
@inline
export function scoreListedRows(query: usize, keys: usize, offsets: usize, count: i32, d: i32, scores: usize): void {
  const bytes = <usize>d << 2;
  for (let i: usize = 0; i < <usize>count << 2; i += 16) {
    const k0 = keys + <usize>load<u32>(offsets + i);
    const k1 = keys + <usize>load<u32>(offsets + i, 4);
    const k2 = keys + <usize>load<u32>(offsets + i, 8);
    const k3 = keys + <usize>load<u32>(offsets + i, 12);
    v128.store(scores + i, scoreFourRows(query, k0, k1, k2, k3, bytes));
  }
}

/** output (d) += sum of weights[i] * the row `offsets[i]` bytes behind `values`, for `count` rows. */
@inline
export function addListedRows(weights: usize, values: usize, offsets: usize, count: i32, d: i32, output: usize): void {
  const bytes = <usize>d << 2;
  const end = <usize>count << 2;
  let j: usize = 0;
  for (; j + 128 <= bytes; j += 128) {
    const o = output + j;
    let a = v128.load(o);
    let b = v128.load(o, 16);
    let c = v128.load(o, 32);
    let e = v128.load(o, 48);
    let f = v128.load(o, 64);
    let g = v128.load(o, 80);
    let h = v128.load(o, 96);
    let k = v128.load(o, 112);
    for (let i: usize = 0; i < end; i += 4) {
      const p = v128.load32_splat(weights + i);
      const row = values + <usize>load<u32>(offsets + i) + j;
      a = f32x4.add(a, f32x4.mul(p, v128.load(row)));
      b = f32x4.add(b, f32x4.mul(p, v128.load(row, 16)));
      c = f32x4.add(c, f32x4.mul(p, v128.load(row, 32)));
      e = f32x4.add(e, f32x4.mul(p, v128.load(row, 48)));
      f = f32x4.add(f, f32x4.mul(p, v128.load(row, 64)));
      g = f32x4.add(g, f32x4.mul(p, v128.load(row, 80)));
      h = f32x4.add(h, f32x4.mul(p, v128.load(row, 96)));
      k = f32x4.add(k, f32x4.mul(p, v128.load(row, 112)));
    }
    v128.store(o, a);
    v128.store(o, b, 16);
    v128.store(o, c, 32);
    v128.store(o, e, 48);
    v128.store(o, f, 64);
    v128.store(o, g, 80);
    v128.store(o, h, 96);
    v128.store(o, k, 112);
  }
  for (; j < bytes; j += 32) {
    const o = output + j;
    let a = v128.load(o);
    let b = v128.load(o, 16);
    for (let i: usize = 0; i < end; i += 4) {
      const p = v128.load32_splat(weights + i);
      const row = values + <usize>load<u32>(offsets + i) + j;
      a = f32x4.add(a, f32x4.mul(p, v128.load(row)));
      b = f32x4.add(b, f32x4.mul(p, v128.load(row, 16)));
    }
    v128.store(o, a);
    v128.store(o, b, 16);
  }
}
