/** The split of a sample into keys that are attended exactly and keys that are attended by their 4-bit rows. */
import { SampleSplit } from './generated';

/** Mark of a key that is attended exactly; the others have the number of their part, 0 to 2. */
const EXACT: i32 = 3;

/** See `QuantizedKernels.splitSample`. */
export function splitSample(split: SampleSplit): i32 {
  const indices = split.indices;
  const logProbabilities = split.logProbabilities;
  const scores = split.scores;
  const stride = split.stride;
  const count = split.count;
  const shares = split.shares;
  const selected = split.selected;
  const selectedCount = split.selectedCount;
  const minShare = split.minShare;
  const quantizedIndices = split.quantizedIndices;
  const quantizedScores = split.quantizedScores;
  const quantizedStride = split.quantizedStride;
  const parts = split.parts;
  // The marks replace the shares.
  let next = 0;
  let nextHalf = 1;
  let certain = 0;
  let first = 0;
  let second = 0;
  for (let j = 0; j < count; j++) {
    const at = <usize>j << 2;
    let mark = EXACT;
    const heavy = next < selectedCount && load<i32>(selected + (<usize>next << 2)) == j;
    if (heavy) next++;
    if (!heavy || load<f32>(shares + at) < minShare) {
      if (load<f32>(logProbabilities + at) == 0) {
        mark = 0;
        certain++;
      } else {
        mark = nextHalf;
        nextHalf = 3 - nextHalf;
        if (mark == 1) first++;
        else second++;
      }
    }
    store<i32>(shares + at, mark);
  }
  store<i32>(parts, certain);
  store<i32>(parts, first, 4);
  store<i32>(parts, second, 8);

  second = certain + first;
  first = certain;
  certain = 0;
  let exact = 0;
  for (let j = 0; j < count; j++) {
    const at = <usize>j << 2;
    const mark = load<i32>(shares + at);
    if (mark == EXACT) {
      store<i32>(indices + (<usize>exact << 2), load<i32>(indices + at));
      store<f32>(logProbabilities + (<usize>exact << 2), load<f32>(logProbabilities + at));
      exact++;
      continue;
    }
    const to = <usize>(mark == 0 ? certain++ : mark == 1 ? first++ : second++) << 2;
    store<i32>(quantizedIndices + to, load<i32>(indices + at));
    for (let r = 0; r < split.rows; r++) {
      const score = load<f32>(scores + (<usize>(r * stride) << 2) + at);
      store<f32>(quantizedScores + (<usize>(r * quantizedStride) << 2) + to, score);
    }
  }
  return exact;
}
