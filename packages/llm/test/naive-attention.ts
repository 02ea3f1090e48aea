/** Causal attention in double precision over growing arrays of keys and values: the plainest `attend` there is. */
import type { Attend, ModelConfig } from '../src/model/index.ts';

/** An attention with an empty past; chunks follow one another. */
export function naiveAttention({ heads, keyValueHeads, headDim }: ModelConfig): Attend {
  const keys = new Map<number, Float32Array>();
  const values = new Map<number, Float32Array>();
  const width = keyValueHeads * headDim;
  return (layer, { q, k, v }) => {
    const allKeys = append(keys, layer, k); // (positions, keyValueHeads, headDim)
    const allValues = append(values, layer, v);
    const count = q.length / (heads * headDim);
    const before = allKeys.length / width - count;
    const output = new Float32Array(q.length); // (tokens, heads, headDim)
    for (let row = 0; row < count; row++) {
      for (let head = 0; head < heads; head++) {
        const at = (row * heads + head) * headDim;
        const group = Math.floor(head / (heads / keyValueHeads)) * headDim;
        const weights = softmax(
          scores(q.subarray(at, at + headDim), allKeys, { rows: before + row + 1, width, group }),
        );
        for (let j = 0; j < weights.length; j++) {
          const weight = weights[j] as number;
          const from = j * width + group;
          for (let i = 0; i < headDim; i++) (output[at + i] as number) += weight * (allValues[from + i] as number);
        }
      }
    }
    return output;
  };
}

/** q . k / sqrt(d) with the first `rows` keys of a group. */
function scores(
  q: Float32Array,
  keys: Float32Array,
  { rows, width, group }: { rows: number; width: number; group: number },
): Float64Array {
  const result = new Float64Array(rows);
  const scale = 1 / Math.sqrt(q.length);
  for (let j = 0; j < rows; j++) {
    let sum = 0;
    for (let i = 0; i < q.length; i++) sum += (q[i] as number) * (keys[j * width + group + i] as number);
    result[j] = sum * scale;
  }
  return result;
}

function softmax(values: Float64Array): Float64Array {
  const max = values.reduce((a, b) => Math.max(a, b));
  const weights = values.map((value) => Math.exp(value - max));
  const sum = weights.reduce((a, b) => a + b);
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
