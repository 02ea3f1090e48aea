/** Blocks of small integers with scales: the one form that every quantized storage type is read into. */

/** How a type's values are cut into blocks with one scale each. */
export interface BlockLayout {
  /** Bits that hold a value without loss. */
  readonly bits: 4 | 8;
  /** Values of a block. */
  readonly blockSize: 16 | 32;
  /** Whether a block has an offset beside its scale. */
  readonly hasOffsets: boolean;
  /** What scales and offsets are made of, where that is shorter than they are. */
  readonly factors?: ScaleFactors;
}

/**
 * Scales as small whole numbers times a float16 of the file: scale = factor * code, and offset = middle * scale - factor of
 * the minima * code. Where every block has factors of its own there are no codes: scale = factor, and offset = middle * scale +
 * factor of the minima.
 */
export interface ScaleFactors {
  /** Blocks that share a factor. */
  readonly blocks: 1 | 8 | 16;
  /** Where the factor lies in a block of the file, in bytes. */
  readonly at: number;
  /** Where that of the minima lies, and the middle of the range of quantized values, where blocks have offsets. */
  readonly minima?: { readonly at: number; readonly middle: number };
}

/**
 * weight = scale * (quantized - zero) + offset, with zero 8 for 4 bits and 128 for 8 bits: one quantized value for each
 * weight, one scale and offset for each block. `offsets` is empty where the layout has none.
 */
export interface QuantizedBlocks {
  readonly quantized: Uint8Array;
  readonly scales: Float32Array;
  readonly offsets: Float32Array;
  /** The codes of the minima; empty where the layout has none. */
  readonly minima: Uint8Array;
}

/** Reads whole blocks of a storage type. */
export type QuantizedReader = (bytes: Uint8Array, blocks: number, target: QuantizedBlocks) => void;

export interface QuantizedFormat {
  readonly layout: BlockLayout;
  readonly read: QuantizedReader;
}

/** The value of `quantized` that stands for 0. */
export const ZERO_OF_BITS = { 4: 8, 8: 128 } as const;
