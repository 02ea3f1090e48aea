/** Causal attention in double precision over a growing list of keys and values: the plainest `attend` there is. */
import type { Attend, ModelConfig } from '../src/model/index.ts';

/** An attention with an empty past; chunks follow one another. */
export function naiveAttention({ heads, keyValueHeads, headDim }: ModelConfig): Attend {
  const keys = new Map<number, number[]>();
  const values = new Map<number, number[]>();
  const keyWidth = keyValueHeads * headDim;
  return (layer, { q, k, v }) => {
    const allKeys = append(keys, layer, k); // (positions, keyValueHeads, headDim)
    const allValues = append(values, layer, v);
    const count = q.length / (heads * headDim);
    const before = allKeys.length / keyWidth - count;
    const output = new Float32Array(q.length); // (tokens, heads, headDim)
    for (let row = 0; row < count; row++) {
      const visible = before + row + 1;
      for (let head = 0; head < heads; head++) {
        const at = (row * heads + head) * headDim;
        const group = Math.floor(head / (heads / keyValueHeads)) * headDim;
        const weights = new Float64Array(visible);
        for (let j = 0; j < visible; j++) {
          let score = 0;
          for (let i = 0; i < headDim; i++)
            score += (q[at + i] as number) * (allKeys[j * keyWidth + group + i] as number);
          weights[j] = score / Math.sqrt(headDim);
        }
        const largest = weights.reduce((a, b) => Math.max(a, b));
        let sum = 0;
        for (let j = 0; j < visible; j++) sum += weights[j] = Math.exp((weights[j] as number) - largest);
        for (let i = 0; i < headDim; i++) {
          let value = 0;
          for (let j = 0; j < visible; j++)
            value += (weights[j] as number) * (allValues[j * keyWidth + group + i] as number);
          output[at + i] = value / sum;
        }
      }
    }
    return output;
  };
}

function append(rows: Map<number, number[]>, layer: number, more: Float32Array): number[] {
  const known = rows.get(layer) ?? [];
  for (const value of more) known.push(value);
  rows.set(layer, known);
  return known;
}
