/** Reading GGUF files: header, metadata, tensors by ranges, and their values as float32. */
export { dequantizableTypes, dequantize } from './dequantize.ts';
export { requireFinite } from './finite.ts';
export { float16Table } from './float16.ts';
export type { BlockLayout, QuantizedBlocks, ScaleFactors } from './formats/quantized.ts';
export { ZERO_OF_BITS } from './formats/quantized.ts';
export type { GgufTensor } from './header.ts';
export type { GgufArray, GgufMetadata, GgufValue } from './metadata.ts';
export type { GgufFile } from './open.ts';
export { openGguf } from './open.ts';
export { blockLayout, quantizedTypes, readQuantizedBlocks } from './quantized-blocks.ts';
export { parsePartName } from './split.ts';
export type { GgmlBlock, GgmlType } from './types.ts';
export { ggmlBlock, ggmlByteLength, ggmlTypes } from './types.ts';
