/**
 * Where an answer has looked: the weights of exact attention over all positions, mean over heads, layers and the answer's
 * last tokens. It is worked out anew from the keys in the cache, so that it also tells of what a policy left unread.
 */
import type { AttentionEvent } from './forward-pass.ts';
import type { Session } from './session.ts';

/** More tokens of an answer add little to the picture, and each takes all keys of all heads. */
const MAX_TOKENS = 4;
const BLOCK_KEYS = 1024;

/**
 * Weights (positions of the session) that add up to 1 where there are layers of full attention, else all 0. The session reads
 * the last `tokens` of what it holds again, and holds the same afterwards. Throws as `Session.evaluate` does.
 */
export async function attentionMap(session: Session, tokens = MAX_TOKENS): Promise<Float32Array> {
  const all = Int32Array.from(session.tokens);
  const from = Math.max(0, all.length - Math.min(tokens, MAX_TOKENS));
  const sums = new Float64Array(all.length);
  let rows = 0;
  session.truncate(from);
  const onAttention = (event: AttentionEvent) => {
    rows += addWeights(event, sums);
  };
  const options = { attention: { policy: 'dense' }, logits: false, onAttention };
  for await (const _ of session.evaluate(all.subarray(from), options));
  return Float32Array.from(sums, (sum) => (rows === 0 ? 0 : sum / rows));
}

/** Adds the softmax of every query and head of a layer. Returns how many there were. */
function addWeights({ layer, position, queries, attention }: AttentionEvent, sums: Float64Array): number {
  const { cache, heads } = attention;
  const { keyValueHeads, headDim } = cache.shape;
  const group = heads / keyValueHeads;
  const count = queries.length / (heads * headDim);
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
      addSoftmax(target.subarray(0, position + Math.floor(row / group) + 1), 1 / Math.sqrt(headDim), sums);
    }
  }
  return count * heads;
}

function dot(q: Float32Array, keys: Float32Array, at: number): number {
  let sum = 0;
  for (let i = 0; i < q.length; i++) sum += (q[i] as number) * (keys[at + i] as number);
  return sum;
}

function addSoftmax(scores: Float32Array, scale: number, sums: Float64Array): void {
  const max = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp((score - max) * scale));
  const total = weights.reduce((a, b) => a + b, 0);
  for (const [key, weight] of weights.entries()) sums[key] = (sums[key] as number) + weight / total;
}
