/**
 * Where an answer has looked: for each position the largest weight that any head of any layer gives it, of exact attention
 * from the answer's first tokens. A mean would show only what all heads do, which is to look at what is near. It is worked
 * out anew from the keys in the cache, so that it also tells of what a policy left unread.
 */
import type { AttentionEvent } from './forward-pass.ts';
import type { Session } from './session.ts';

/** Further tokens of an answer add little to the picture, and each takes all keys of all heads. */
const MAX_TOKENS = 8;
const BLOCK_KEYS = 1024;

/**
 * Weights (positions of the session) from 0 to 1; all 0 where no layer has full attention. The session reads
 * what it holds from the position `answer` on again, and holds the same afterwards. Throws as `Session.evaluate` does.
 */
export async function attentionMap(session: Session, answer: number): Promise<Float32Array> {
  const all = Int32Array.from(session.tokens);
  // The token before the answer is the one that its first token comes of.
  const from = Math.max(0, answer - 1);
  const largest = new Float32Array(all.length);
  session.truncate(from);
  const onAttention = (event: AttentionEvent) => {
    const count = Math.min(
      event.queries.length / (event.attention.heads * event.attention.cache.shape.headDim),
      from + MAX_TOKENS - event.position,
    );
    if (count > 0) takeWeights(event, count, largest);
  };
  const options = { attention: { policy: 'dense' }, logits: false, onAttention };
  for await (const _ of session.evaluate(all.subarray(from), options));
  return largest;
}

/** Takes the softmax of the first `count` queries for every head of a layer. */
function takeWeights(
  { layer, position, queries, attention }: AttentionEvent,
  count: number,
  largest: Float32Array,
): void {
  const { cache, heads } = attention;
  const { keyValueHeads, headDim } = cache.shape;
  const group = heads / keyValueHeads;
  for (let keyValueHead = 0; keyValueHead < keyValueHeads; keyValueHead++) {
    const n = position + count;
    const scores = Array.from({ length: count * group }, () => new Float32Array(n));
    for (let start = 0; start < n; start += BLOCK_KEYS) {
      const end = Math.min(n, start + BLOCK_KEYS);
      const keys = cache.read(layer, keyValueHead, 'keys', start, end);
      for (const [row, target] of scores.entries()) {
        const [query, head] = [Math.floor(row / group), keyValueHead * group + (row % group)];
        const q = queries.subarray((query * heads + head) * headDim, (query * heads + head + 1) * headDim);
        for (let key = start; key < end; key++) target[key] = dot(q, keys, (key - start) * headDim);
      }
    }
    for (const [row, target] of scores.entries()) {
      takeSoftmax(target.subarray(0, position + Math.floor(row / group) + 1), 1 / Math.sqrt(headDim), largest);
    }
  }
}

function dot(q: Float32Array, keys: Float32Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < q.length; i++) sum += (q[i] as number) * (keys[at + i] as number);
  return sum;
}

function takeSoftmax(scores: Float32Array, scale: number, largest: Float32Array): void {
  const max = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp((score - max) * scale));
  const total = weights.reduce((a, b) => a + b, 0);
  for (const [key, weight] of weights.entries()) largest[key] = Math.max(largest[key] as number, weight / total);
}
