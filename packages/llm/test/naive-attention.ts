/** Causal attention in double precision over growing arrays of keys and values: the plainest `attend` there is. */
import type { Attend, LayerAttention, ModelConfig } from '../src/model/index.ts';

/** An attention with an empty past; chunks follow one another. */
export function naiveAttention({ heads, keyValueHeads, headDim, layerAttention }: ModelConfig): Attend {
  const keys = new Map<number, Float32Array>();
  const values = new Map<number, Float32Array>();
  const width = keyValueHeads * headDim;
  return (layer, { q, k, v }) => {
    const allKeys = append(keys, layer, k); // (positions, keyValueHeads, headDim)
    const allValues = append(values, layer, v);
    const count = q.length / (heads * headDim);
    const before = allKeys.length / width - count;
    const attention = layerAttention[layer] as LayerAttention;
    const output = new Float32Array(q.length); // (tokens, heads, headDim)
    for (let row = 0; row < count; row++) {
      const position = before + row;
      const first = Math.max(0, position + 1 - (attention.window ?? Number.POSITIVE_INFINITY));
      for (let head = 0; head < heads; head++) {
        const at = (row * heads + head) * headDim;
        const group = Math.floor(head / (heads / keyValueHeads)) * headDim;
        const rows = { first, end: position + 1, width, group };
        const capped = cap(scores(q.subarray(at, at + headDim), allKeys, rows), attention.softCap);
        const weights = softmax(capped, attention.sinks?.[head]);
        for (let i = 0; i < headDim; i++) {
          let sum = 0;
          for (let j = 0; j < weights.length; j++) {
            sum += (weights[j] as number) * (allValues[(first + j) * width + group + i] as number);
          }
          output[at + i] = sum;
        }
      }
    }
    return output;
  };
}

interface Rows {
  first: number;
  end: number;
  width: number;
  group: number;
}

/** q . k / sqrt(d) with some keys of a group. */
function scores(q: Float32Array, keys: Float32Array, { first, end, width, group }: Rows): Float64Array {
  const scale = 1 / Math.sqrt(q.length);
  return Float64Array.from({ length: end - first }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < q.length; i++) {
      sum += (q[i] as number) * (keys[(first + j) * width + group + i] as number);
    }
    return sum * scale;
  });
}

function cap(values: Float64Array, softCap: number | undefined): Float64Array {
  return softCap === undefined ? values : values.map((value) => softCap * Math.tanh(value / softCap));
}

/** Of some scores and, where there is one, a sink's, whose weight is left out. */
function softmax(values: Float64Array, sink = Number.NEGATIVE_INFINITY): Float64Array {
  const max = values.reduce((a, b) => Math.max(a, b), sink);
  const weights = values.map((value) => Math.exp(value - max));
  const sum = weights.reduce((a, b) => a + b, Math.exp(sink - max));
  return weights.map((weight) => weight / sum);
}

function append(rows: Map<number, Float32Array>, layer: number, more: Float32Array): Float32Array {
  const existing = rows.get(layer) ?? new Float32Array(0);
  const all = new Float32Array(existing.length + more.length);
  all.set(existing);
  all.set(more, existing.length);
  rows.set(layer, all);
  return all;
}
