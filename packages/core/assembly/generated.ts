// Made by packages/core/scripts/generate-assembly.mjs from src/kernels/{constants,structs}.ts: do not edit.

export const DRAW_FRACTION_BITS: i32 = 7;
export const DRAW_LOG_ENTRIES: i32 = 2048;
export const DRAW_PERIOD: i32 = 16384;
export const DRAW_STRIDE: i32 = 12367;
export const DRAW_WRAP: i32 = 8;
export const FACTOR_SCALE: i32 = 32767;
export const MAX_QUANTIZABLE_EXPONENT: i32 = 96;
export const PAGE_KEYS: i32 = 64;
export const ROTATION_MULTIPLE: i32 = 32;
export const ROW_MULTIPLE: i32 = 4;
export const SIEVE_RESULT_COUNTS: i32 = 4;
export const SIEVE_ROW_RESULTS: i32 = 5;
