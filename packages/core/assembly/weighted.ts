/** Attention to scattered keys with importance weights: exact scores, log-weights of them, and weighted values. */
import { gather, mask } from './decode';
import { Pages } from './generated';
import { PAGE_KEYS, rowBytes } from './pages';
import { addWeightedRows, scoreRows } from './rows';
import { updateSoftmax, stateOutput } from './softmax';

/** See `QuantizedKernels.scoreSelected`. `scratch` holds keys (64, d) and 64 scores. */
export function scoreSelected(
  pages: Pages,
  indices: usize,
  count: i32,
  queries: usize,
  rows: i32,
  scores: usize,
  stride: i32,
  scratch: usize,
): void {
  const table = pages.exactTable;
  const headOffset = pages.exactOffset;
  const d = pages.headDim;
  const isFloat16 = pages.isFloat16 != 0;
  const bytes = rowBytes(d, isFloat16);
  const chunkScores = scratch + (<usize>(PAGE_KEYS * d) << 2);
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const chunk = min(count - done, PAGE_KEYS);
    gather(table, headOffset, bytes, d, isFloat16, indices + (<usize>done << 2), chunk, scratch);
    for (let r = 0; r < rows; r++) {
      scoreRows(queries + (<usize>(r * d) << 2), scratch, (chunk + 3) & ~3, d, chunkScores);
      memory.copy(scores + (<usize>(r * stride + done) << 2), chunkScores, <usize>chunk << 2);
    }
  }
}

/** See `QuantizedKernels.applyImportanceWeights`. */
export function applyImportanceWeights(
  scores: usize,
  stride: i32,
  rows: i32,
  count: i32,
  logProbabilities: usize,
  caps: usize,
): void {
  const whole = <usize>(count & ~3) << 2;
  for (let r = 0; r < rows; r++) {
    const row = scores + (<usize>(r * stride) << 2);
    const cap = load<f32>(caps + (<usize>r << 2));
    for (let i: usize = 0; i < whole; i += 16) {
      const s = v128.load(row + i);
      const weighted = f32x4.min(f32x4.sub(s, v128.load(logProbabilities + i)), f32x4.splat(cap));
      v128.store(row + i, f32x4.max(s, weighted));
    }
    for (let i = whole; i < <usize>count << 2; i += 4) {
      const s = load<f32>(row + i);
      store<f32>(row + i, max(s, min(s - load<f32>(logProbabilities + i), cap)));
    }
  }
}

/** See `QuantizedKernels.addValues`. `scratch` holds values (64, d) and 64 weights. */
export function addValues(
  pages: Pages,
  indices: usize,
  count: i32,
  scores: usize,
  stride: i32,
  rows: i32,
  state: usize,
  scratch: usize,
): void {
  const table = pages.exactTable;
  const headOffset = pages.exactOffset;
  const d = pages.headDim;
  const isFloat16 = pages.isFloat16 != 0;
  const bytes = rowBytes(d, isFloat16);
  const weights = scratch + (<usize>(PAGE_KEYS * d) << 2);
  for (let done = 0; done < count; done += PAGE_KEYS) {
    const chunk = min(count - done, PAGE_KEYS);
    const end = (chunk + 3) & ~3;
    gather(table, headOffset + bytes * PAGE_KEYS, bytes, d, isFloat16, indices + (<usize>done << 2), chunk, scratch);
    for (let r = 0; r < rows; r++) {
      memory.copy(weights, scores + (<usize>(r * stride + done) << 2), <usize>chunk << 2);
      mask(weights, chunk, end);
      const output = stateOutput(state, rows) + (<usize>(r * d) << 2);
      updateSoftmax(weights, end, state + (<usize>r << 3), output, d);
      addWeightedRows(weights, scratch, chunk, d, output);
    }
  }
}
