// Made by packages/core/scripts/generate-structs.mjs from src/kernels/{constants,structs}.ts: do not edit.

export const BASIS_HEADER_BYTES: i32 = 16;
export const BOUNDED_ROW_NUMBERS: i32 = 6;
export const BOUND_BINS: i32 = 2048;
export const BOUND_BINS_PER_NAT: i32 = 64;
export const CLASS_FACTOR_SCALE: i32 = 255;
export const DRAW_FRACTION_BITS: i32 = 7;
export const DRAW_LOG_ENTRIES: i32 = 2048;
export const DRAW_PERIOD: i32 = 16384;
export const DRAW_STRIDE: i32 = 12367;
export const DRAW_WRAP: i32 = 8;
export const FACTOR_SCALE: i32 = 32767;
export const FIT_SAMPLE_KEYS: i32 = 96;
export const HALF_SAMPLE_NUMBERS: i32 = 5;
export const MAX_QUANTIZABLE_EXPONENT: i32 = 96;
export const PAGE_KEYS: i32 = 64;
export const ROTATION_MULTIPLE: i32 = 32;
export const ROW_MULTIPLE: i32 = 4;
export const SIEVE_RESULT_COUNTS: i32 = 4;
export const SIEVE_ROW_RESULTS: i32 = 10;
export const UNDRAWN_RARITY: i32 = 20;
export const UNDRAWN_SAMPLE_KEYS: i32 = 48;

/** `Pages` of src/kernels/structs.ts. */
@unmanaged
export class Pages {
  exactTable: usize;
  exactOffset: usize;
  headDim: i32;
  isFloat16: i32;
  dropsExactRows: i32;
  table: usize;
  headOffset: usize;
  sign: usize;
  bounds: usize;
  int4: usize;
  int8: usize;
  values: usize;
  summary: usize;
  minMax: usize;
  basis: usize;
}

/** `KeyDraw` of src/kernels/structs.ts. */
@unmanaged
export class KeyDraw {
  n: i32;
  sinks: i32;
  recentFrom: i32;
  maxKeys: i32;
  seed: i32;
  fractionBits: i32;
  proposals: usize;
  tables: usize;
  indices: usize;
  logProbabilities: usize;
  threshold: usize;
  keyBlocks: usize;
  scratch: usize;
}

/** `SampleSplit` of src/kernels/structs.ts. */
@unmanaged
export class SampleSplit {
  indices: usize;
  logProbabilities: usize;
  scores: usize;
  stride: i32;
  rows: i32;
  count: i32;
  shares: usize;
  selected: usize;
  selectedCount: i32;
  minShare: f32;
  quantizedIndices: usize;
  quantizedScores: usize;
  quantizedStride: i32;
  parts: usize;
}

/** `SieveStep` of src/kernels/structs.ts. */
@unmanaged
export class SieveStep {
  n: i32;
  rows: i32;
  fractionBits: i32;
  sinks: i32;
  recentFrom: i32;
  maxKeys: i32;
  seed: i32;
  proposalExponent: f32;
  logCap: f32;
  exactSinks: i32;
  exactRecentFrom: i32;
  maxExactKeys: i32;
  minLogShare: f32;
  scoreStride: i32;
  scanStride: i32;
}

/** `SieveBuffers` of src/kernels/structs.ts. */
@unmanaged
export class SieveBuffers {
  queries: usize;
  quantizedQuery: usize;
  centerScores: usize;
  signScores: usize;
  scores: usize;
  softmaxStatistics: usize;
  offsets: usize;
  logWeightCaps: usize;
  pooled: usize;
  drawTables: usize;
  indices: usize;
  logProbabilities: usize;
  threshold: usize;
  drawBlocks: usize;
  quantizedIndices: usize;
  quantizedScores: usize;
  sampleParts: usize;
  state: usize;
  certainState: usize;
  firstHalfState: usize;
  secondHalfState: usize;
  scratch: usize;
  results: usize;
}

/** `SieveStates` of src/kernels/structs.ts. */
@unmanaged
export class SieveStates {
  headDim: i32;
  rows: i32;
  state: usize;
  certainState: usize;
  firstHalfState: usize;
  secondHalfState: usize;
  results: usize;
  outputs: usize;
  scratch: usize;
}
