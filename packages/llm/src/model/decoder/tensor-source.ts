/** Hands out a GGUF file's tensors by name, each checked against the shape that the header implies. */
import { llmError } from '../../errors.ts';
import type { GgufFile, GgufTensor } from '../../gguf/index.ts';

export interface TensorSource {
  /** Throws `tensor-missing`, or `tensor-shape-mismatch` where it has other dimensions (innermost first). */
  get(name: string, dimensions: readonly number[]): GgufTensor;
  /** As `get`, but undefined where the file lacks the tensor. */
  find(name: string, dimensions: readonly number[]): GgufTensor | undefined;
  has(name: string): boolean;
  /** Throws `unsupported-architecture` where the file has a tensor that was never asked for. */
  requireAllUsed(): void;
}

export function createTensorSource({ tensors }: GgufFile): TensorSource {
  const used = new Set<string>();

  function find(name: string, dimensions: readonly number[]): GgufTensor | undefined {
    const tensor = tensors.get(name);
    if (tensor === undefined) return undefined;
    used.add(name);
    if (shapeText(tensor.dimensions) === shapeText(dimensions)) return tensor;
    throw llmError({
      code: 'tensor-shape-mismatch',
      problem: `The tensor ${name} should be ${shapeText(dimensions)}, as the header says.`,
      found: shapeText(tensor.dimensions),
      remedy: 'Fetch or convert the model again: its tensors contradict its header.',
    });
  }

  return {
    has: (name) => tensors.has(name),
    find,
    get(name, dimensions) {
      const tensor = find(name, dimensions);
      if (tensor === undefined) throw missingTensor(name);
      return tensor;
    },
    requireAllUsed() {
      const unusedName = [...tensors.keys()].find((name) => !used.has(name) && !isLeftover(name));
      if (unusedName === undefined) return;
      throw llmError({
        code: 'unsupported-architecture',
        problem: 'The model has a tensor that its architecture does not have.',
        found: JSON.stringify(unusedName.slice(0, 80)),
        remedy: 'Use a model without it: leaving it out would change what the model says.',
      });
    },
  };
}

/** Tables of RoPE angles that old converters wrote and nothing reads. */
function isLeftover(name: string): boolean {
  return /^blk\.\d+\.attn_rot_embd\.weight$|\.rotary_emb\.inv_freq$/.test(name);
}

export function missingTensor(name: string) {
  return llmError({
    code: 'tensor-missing',
    problem: `The GGUF file has no tensor ${name}.`,
    remedy: 'Fetch or convert the model again, whole: it is not complete.',
  });
}

/** Trailing dimensions of one do not count. */
function shapeText(dimensions: readonly number[]): string {
  const last = dimensions.findLastIndex((dimension) => dimension !== 1);
  return dimensions.slice(0, Math.max(1, last + 1)).join(' x ');
}
