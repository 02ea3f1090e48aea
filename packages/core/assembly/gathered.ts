/**
 * Attention of a block of query rows over keys that are scattered: 64 of them at a time are brought together, and then
 * it is two matrix products as over a page. Every row sees every key, each key with a weight of its own.
 */
import { gather } from './decode';
import { PAGE_KEYS, rowBytes } from './pages';
import { multiplyTile, transposeKeys } from './prefill';
import { absorbScores, stateOutput } from './softmax';

/**
 * Takes the keys named by `indices` (count) into the state of `rows` query rows, with `biases` (count) added to their
 * scores. `scratch` holds keys (d, 64), gathered rows (64, d) and scores (rows, 64), all floats.
 */
export function attendGathered(
  table: usize,
  headOffset: usize,
  d: i32,
  half: bool,
  indices: usize,
  count: i32,
  biases: usize,
  queries: usize,
  rows: i32,
  state: usize,
  scratch: usize,
): void {
  const bytes = rowBytes(d, half);
  const queryBytes = <usize>d << 2;
  const scoreBytes: usize = <usize>PAGE_KEYS << 2;
  const output = stateOutput(state, rows);
  const keys = scratch;
  const gathered = keys + queryBytes * PAGE_KEYS;
  const scores = gathered + queryBytes * PAGE_KEYS;
  // Rows behind the last of the list are multiplied too, and then masked: they must be numbers.
  memory.fill(gathered, 0, queryBytes * PAGE_KEYS);
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const live = min(count - done, PAGE_KEYS);
    const list = indices + (<usize>done << 2);
    gather(table, headOffset, bytes, d, half, list, live, gathered);
    transposeKeys(gathered, d, false, keys);
    for (let r = 0; r < rows; r += 4) {
      const q = queries + <usize>r * queryBytes;
      const s = scores + <usize>r * scoreBytes;
      for (let key = 0; key < live; key += 8) {
        const column = <usize>key << 2;
        multiplyTile(q, queryBytes, keys + column, scoreBytes, d, s + column, scoreBytes, false);
      }
    }
    gather(table, headOffset + bytes * PAGE_KEYS, bytes, d, half, list, live, gathered);
    const bias = biases + (<usize>done << 2);
    for (let r = 0; r < rows; r++) {
      const s = scores + <usize>r * scoreBytes;
      // The last few biases may lie behind the list: what comes of them is masked.
      for (let i: usize = 0; i < <usize>live << 2; i += 16) {
        v128.store(s + i, f32x4.add(v128.load(s + i), v128.load(bias + i)));
      }
      for (let i = live; i < PAGE_KEYS; i++) store<f32>(s + (<usize>i << 2), -Infinity);
      absorbScores(s, PAGE_KEYS, state + (<usize>r << 3), output + <usize>r * queryBytes, d);
    }
    for (let r = 0; r < rows; r += 4) {
      const p = scores + <usize>r * scoreBytes;
      const o = output + <usize>r * queryBytes;
      for (let i: usize = 0; i < queryBytes; i += 32) {
        multiplyTile(p, scoreBytes, gathered + i, queryBytes, live, o + i, queryBytes, true);
      }
    }
  }
}
