/**
 * The storage types of ggml tensors: the number that stands for each in a GGUF file, and the size of its blocks.
 * Source: `enum ggml_type` and `GGML_QUANT_SIZES` of ggml (gguf-py 0.19). Numbers that are not listed (4, 5, 31..33,
 * 36..38) belonged to types that ggml has removed.
 */

/** How a type stores a row: whole blocks of `elements` values in `bytes` bytes each. */
export interface GgmlBlock {
  readonly elements: number;
  readonly bytes: number;
}

const types = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  Q4_0: { id: 2, elements: 32, bytes: 18 },
  Q4_1: { id: 3, elements: 32, bytes: 20 },
  Q5_0: { id: 6, elements: 32, bytes: 22 },
  Q5_1: { id: 7, elements: 32, bytes: 24 },
  Q8_0: { id: 8, elements: 32, bytes: 34 },
  Q8_1: { id: 9, elements: 32, bytes: 40 },
  Q2_K: { id: 10, elements: 256, bytes: 84 },
  Q3_K: { id: 11, elements: 256, bytes: 110 },
  Q4_K: { id: 12, elements: 256, bytes: 144 },
  Q5_K: { id: 13, elements: 256, bytes: 176 },
  Q6_K: { id: 14, elements: 256, bytes: 210 },
  Q8_K: { id: 15, elements: 256, bytes: 292 },
  IQ2_XXS: { id: 16, elements: 256, bytes: 66 },
  IQ2_XS: { id: 17, elements: 256, bytes: 74 },
  IQ3_XXS: { id: 18, elements: 256, bytes: 98 },
  IQ1_S: { id: 19, elements: 256, bytes: 50 },
  IQ4_NL: { id: 20, elements: 32, bytes: 18 },
  IQ3_S: { id: 21, elements: 256, bytes: 110 },
  IQ2_S: { id: 22, elements: 256, bytes: 82 },
  IQ4_XS: { id: 23, elements: 256, bytes: 136 },
  I8: { id: 24, elements: 1, bytes: 1 },
  I16: { id: 25, elements: 1, bytes: 2 },
  I32: { id: 26, elements: 1, bytes: 4 },
  I64: { id: 27, elements: 1, bytes: 8 },
  F64: { id: 28, elements: 1, bytes: 8 },
  IQ1_M: { id: 29, elements: 256, bytes: 56 },
  BF16: { id: 30, elements: 1, bytes: 2 },
  TQ1_0: { id: 34, elements: 256, bytes: 54 },
  TQ2_0: { id: 35, elements: 256, bytes: 66 },
  MXFP4: { id: 39, elements: 32, bytes: 17 },
  NVFP4: { id: 40, elements: 64, bytes: 36 },
  Q1_0: { id: 41, elements: 128, bytes: 18 },
} as const satisfies Record<string, GgmlBlock & { id: number }>;

/** A storage type of ggml, by its name. */
export type GgmlType = keyof typeof types;

/** Every known storage type. */
export const ggmlTypes = Object.keys(types) as readonly GgmlType[];

const nameById: ReadonlyMap<number, GgmlType> = new Map(ggmlTypes.map((name) => [types[name].id, name]));

/** The type that a number in a tensor's info stands for, or undefined where ggml knows none. */
export function ggmlTypeById(id: number): GgmlType | undefined {
  return nameById.get(id);
}

/** The number that stands for a type in a GGUF file. */
export function ggmlTypeId(type: GgmlType): number {
  return types[type].id;
}

/** The block of a type: values and bytes. */
export function ggmlBlock(type: GgmlType): GgmlBlock {
  return types[type];
}

/**
 * Bytes of a tensor: whole blocks along the rows, rows one after the other. `dimensions[0]` (the row length) must be
 * a multiple of the block's elements; the reader refuses a file where it is not.
 */
export function ggmlByteLength(type: GgmlType, dimensions: readonly number[]): number {
  const { elements, bytes } = types[type];
  return (dimensions.reduce((product, dimension) => product * dimension, 1) / elements) * bytes;
}
