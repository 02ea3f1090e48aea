/**
 * A llama in double precision, line by line as the paper of its architecture has it: what the segments are tested
 * against. Weights come dequantised from the same GGUF file.
 */
import type { GgufFile } from '../src/gguf/index.ts';
import { dequantize } from '../src/gguf/index.ts';
import type { ModelConfig } from '../src/model/index.ts';

/** Logits of all tokens: (tokens, vocabulary) */
export async function referenceForward(
  gguf: GgufFile,
  config: ModelConfig,
  tokens: readonly number[],
): Promise<Float64Array[]> {
  const { layers, heads, keyValueHeads, headDim, hiddenSize } = config;
  const rmsEpsilon = gguf.metadata.number('llama.attention.layer_norm_rms_epsilon');
  const ropeScale = gguf.metadata.numberOr('llama.rope.scaling.factor', 1);
  const weights = await readWeights(gguf);
  const matrix = (name: string) => ({
    weight: weights.get(`${name}.weight`) as Float32Array,
    bias: weights.get(`${name}.bias`),
  });
  const embedding = matrix('token_embd').weight;
  const factors = weights.get('rope_freqs.weight');

  const rows = tokens.map((token) =>
    Float64Array.from(embedding.subarray(token * hiddenSize, (token + 1) * hiddenSize)),
  ); // (tokens, hiddenSize)
  for (let layer = 0; layer < layers; layer++) {
    const part = (name: string) => matrix(`blk.${layer}.${name}`);
    const projections = rows.map((row, position) => {
      const x = rmsNorm(row, part('attn_norm').weight, rmsEpsilon);
      return {
        q: rotate(linear(x, part('attn_q')), position, { ...config, ropeScale }, factors), // (heads * headDim)
        k: rotate(linear(x, part('attn_k')), position, { ...config, ropeScale }, factors), // (keyValueHeads * headDim)
        v: linear(x, part('attn_v')),
      };
    });
    const past = { keys: projections.map(({ k }) => k), values: projections.map(({ v }) => v) };
    rows.forEach((row, position) => {
      const attended = attend(projections[position]?.q as Float64Array, past, position, {
        heads,
        keyValueHeads,
        headDim,
      });
      add(row, linear(attended, part('attn_output')));
      const x = rmsNorm(row, part('ffn_norm').weight, rmsEpsilon);
      const gate = linear(x, part('ffn_gate'));
      const up = linear(x, part('ffn_up'));
      add(
        row,
        linear(
          gate.map((g, i) => (g / (1 + Math.exp(-g))) * (up[i] as number)),
          part('ffn_down'),
        ),
      );
    });
  }
  const head = weights.has('output.weight') ? matrix('output') : { weight: embedding, bias: undefined };
  return rows.map((row) => linear(rmsNorm(row, matrix('output_norm').weight, rmsEpsilon), head));
}

/** Causal attention of one query, grouped heads: (heads * headDim) */
function attend(
  q: Float64Array,
  { keys, values }: { keys: Float64Array[]; values: Float64Array[] },
  position: number,
  { heads, keyValueHeads, headDim }: { heads: number; keyValueHeads: number; headDim: number },
): Float64Array {
  const output = new Float64Array(heads * headDim);
  for (let head = 0; head < heads; head++) {
    const group = Math.floor(head / (heads / keyValueHeads)) * headDim;
    const scores = keys.slice(0, position + 1).map((key) => {
      let score = 0;
      for (let i = 0; i < headDim; i++) score += (q[head * headDim + i] as number) * (key[group + i] as number);
      return score / Math.sqrt(headDim);
    });
    const max = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - max));
    const sum = weights.reduce((a, b) => a + b);
    weights.forEach((weight, j) => {
      for (let i = 0; i < headDim; i++) {
        (output[head * headDim + i] as number) += (weight / sum) * (values[j]?.[group + i] as number);
      }
    });
  }
  return output;
}

/** RoPE over neighbouring pairs of each head's first `ropeDimensions` values. */
function rotate(
  rows: Float64Array,
  position: number,
  { headDim, ropeDimensions, ropeTheta, ropeScale }: ModelConfig & { ropeScale: number },
  factors: Float32Array | undefined,
): Float64Array {
  const rotated = rows.slice();
  for (let head = 0; head < rows.length; head += headDim) {
    for (let i = 0; i < ropeDimensions; i += 2) {
      const angle = position / ropeScale / ropeTheta ** (i / ropeDimensions) / (factors?.[i / 2] ?? 1);
      const a = rows[head + i] as number;
      const b = rows[head + i + 1] as number;
      rotated[head + i] = a * Math.cos(angle) - b * Math.sin(angle);
      rotated[head + i + 1] = a * Math.sin(angle) + b * Math.cos(angle);
    }
  }
  return rotated;
}

function linear(x: Float64Array, { weight, bias }: { weight: Float32Array; bias: Float32Array | undefined }) {
  const rows = weight.length / x.length;
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = bias?.[row] ?? 0;
    for (let i = 0; i < x.length; i++) sum += (weight[row * x.length + i] as number) * (x[i] as number);
    return sum;
  });
}

function rmsNorm(x: Float64Array, gain: Float32Array, epsilon: number): Float64Array {
  const meanSquare = x.reduce((sum, value) => sum + value * value, 0) / x.length;
  return x.map((value, i) => (value / Math.sqrt(meanSquare + epsilon)) * (gain[i] as number));
}

function add(row: Float64Array, update: Float64Array): void {
  for (let i = 0; i < row.length; i++) row[i] = (row[i] as number) + (update[i] as number);
}

async function readWeights(gguf: GgufFile): Promise<Map<string, Float32Array>> {
  const weights = new Map<string, Float32Array>();
  for (const tensor of gguf.tensors.values())
    weights.set(tensor.name, dequantize(tensor.type, await gguf.read(tensor)));
  return weights;
}
