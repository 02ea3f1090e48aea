import type { CapturedHead } from './captured-head.ts';
import { type Tensor, type TensorType, writeTensors } from './safetensors.ts';

/** How a capture is written. */
export interface WriteCaptureOptions {
  /** Type of the numbers. Default: `F16`. */
  type?: TensorType;
  /** What the heads come from, for whoever opens the file: `{ model, text }`. Default: nothing. */
  metadata?: Readonly<Record<string, string>>;
}

/** Writes captured heads into a safetensors file, as `docs/captures.md` describes it and `readCapture` reads it. */
export async function writeCapture(
  path: string,
  heads: readonly CapturedHead[],
  { type = 'F16', metadata = {} }: WriteCaptureOptions = {},
): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  for (const { name, n, headDim, group, lastQueries, keys, values, queries } of heads) {
    tensors[`${name}.k`] = { shape: [n, headDim], numbers: keys };
    tensors[`${name}.v`] = { shape: [n, headDim], numbers: values };
    tensors[`${name}.q`] = { shape: [group, lastQueries, headDim], numbers: queries };
  }
  await writeTensors(path, tensors, type, metadata);
}
