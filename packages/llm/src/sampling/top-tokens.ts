/**
 * The best few of many logits in falling order, without sorting them all: a heap of as many tokens, the worst on top,
 * which most tokens do not get past.
 */

/** Ids of the `count` largest logits, largest first; of equal ones the lower id first. `count` <= logits.length. */
export function topTokens(logits: Float32Array, count: number): Int32Array {
  const heap = new Int32Array(count);
  if (count === 0) return heap;
  for (let id = 0; id < count; id++) heap[id] = id;
  for (let at = (count >> 1) - 1; at >= 0; at--) siftDown(heap, count, at, logits);
  for (let id = count; id < logits.length; id++) {
    if ((logits[id] as number) > (logits[heap[0] as number] as number)) {
      heap[0] = id;
      siftDown(heap, count, 0, logits);
    }
  }
  // Taking the worst to the end, again and again, leaves the best in front.
  for (let size = count - 1; size > 0; size--) {
    const worst = heap[0] as number;
    heap[0] = heap[size] as number;
    heap[size] = worst;
    siftDown(heap, size, 0, logits);
  }
  return heap;
}

function isWorse(a: number, b: number, logits: Float32Array): boolean {
  const x = logits[a] as number;
  const y = logits[b] as number;
  return x < y || (x === y && a > b);
}

function siftDown(heap: Int32Array, size: number, from: number, logits: Float32Array): void {
  const moved = heap[from] as number;
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= size) break;
    if (child + 1 < size && isWorse(heap[child + 1] as number, heap[child] as number, logits)) child++;
    if (!isWorse(heap[child] as number, moved, logits)) break;
    heap[at] = heap[child] as number;
    at = child;
  }
  heap[at] = moved;
}
