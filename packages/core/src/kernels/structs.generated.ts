// Made by packages/core/scripts/generate-structs.mjs from src/kernels/structs.ts: do not edit.
import type { StructValues } from './structs.ts';
import type { Views } from './views.ts';

/** Writes the block `Pages` to an address, a multiple of 4. */
export function writePages({ u32 }: Views, address: number, values: StructValues<'Pages'>): void {
  const at = address / 4;
  u32[at + 0] = values.exactTable;
  u32[at + 1] = values.exactOffset;
  u32[at + 2] = values.headDim;
  u32[at + 3] = values.isFloat16;
  u32[at + 4] = values.dropsExactRows;
  u32[at + 5] = values.table;
  u32[at + 6] = values.headOffset;
  u32[at + 7] = values.sign;
  u32[at + 8] = values.bounds;
  u32[at + 9] = values.int4;
  u32[at + 10] = values.int8;
  u32[at + 11] = values.values;
  u32[at + 12] = values.summary;
  u32[at + 13] = values.minMax;
  u32[at + 14] = values.basis;
}

/** Writes the block `KeyDraw` to an address, a multiple of 4. */
export function writeKeyDraw({ u32 }: Views, address: number, values: StructValues<'KeyDraw'>): void {
  const at = address / 4;
  u32[at + 0] = values.n;
  u32[at + 1] = values.sinks;
  u32[at + 2] = values.recentFrom;
  u32[at + 3] = values.maxKeys;
  u32[at + 4] = values.seed;
  u32[at + 5] = values.fractionBits;
  u32[at + 6] = values.proposals;
  u32[at + 7] = values.tables;
  u32[at + 8] = values.indices;
  u32[at + 9] = values.logProbabilities;
  u32[at + 10] = values.threshold;
  u32[at + 11] = values.keyBlocks;
  u32[at + 12] = values.scratch;
}

/** Writes the block `SampleSplit` to an address, a multiple of 4. */
export function writeSampleSplit({ u32, f32 }: Views, address: number, values: StructValues<'SampleSplit'>): void {
  const at = address / 4;
  u32[at + 0] = values.indices;
  u32[at + 1] = values.logProbabilities;
  u32[at + 2] = values.scores;
  u32[at + 3] = values.stride;
  u32[at + 4] = values.rows;
  u32[at + 5] = values.count;
  u32[at + 6] = values.shares;
  u32[at + 7] = values.selected;
  u32[at + 8] = values.selectedCount;
  f32[at + 9] = values.minShare;
  u32[at + 10] = values.quantizedIndices;
  u32[at + 11] = values.quantizedScores;
  u32[at + 12] = values.quantizedStride;
  u32[at + 13] = values.parts;
}

/** Writes the block `SieveStep` to an address, a multiple of 4. */
export function writeSieveStep({ u32, f32 }: Views, address: number, values: StructValues<'SieveStep'>): void {
  const at = address / 4;
  u32[at + 0] = values.n;
  u32[at + 1] = values.rows;
  u32[at + 2] = values.fractionBits;
  u32[at + 3] = values.sinks;
  u32[at + 4] = values.recentFrom;
  u32[at + 5] = values.maxKeys;
  u32[at + 6] = values.seed;
  f32[at + 7] = values.proposalExponent;
  f32[at + 8] = values.logCap;
  u32[at + 9] = values.exactSinks;
  u32[at + 10] = values.exactRecentFrom;
  u32[at + 11] = values.maxExactKeys;
  f32[at + 12] = values.minLogShare;
  u32[at + 13] = values.scoreStride;
  u32[at + 14] = values.scanStride;
}

/** Writes the block `SieveBuffers` to an address, a multiple of 4. */
export function writeSieveBuffers({ u32 }: Views, address: number, values: StructValues<'SieveBuffers'>): void {
  const at = address / 4;
  u32[at + 0] = values.queries;
  u32[at + 1] = values.quantizedQuery;
  u32[at + 2] = values.centerScores;
  u32[at + 3] = values.signScores;
  u32[at + 4] = values.scores;
  u32[at + 5] = values.softmaxStatistics;
  u32[at + 6] = values.offsets;
  u32[at + 7] = values.logWeightCaps;
  u32[at + 8] = values.pooled;
  u32[at + 9] = values.drawTables;
  u32[at + 10] = values.indices;
  u32[at + 11] = values.logProbabilities;
  u32[at + 12] = values.threshold;
  u32[at + 13] = values.drawBlocks;
  u32[at + 14] = values.quantizedIndices;
  u32[at + 15] = values.quantizedScores;
  u32[at + 16] = values.sampleParts;
  u32[at + 17] = values.state;
  u32[at + 18] = values.certainState;
  u32[at + 19] = values.firstHalfState;
  u32[at + 20] = values.secondHalfState;
  u32[at + 21] = values.scratch;
  u32[at + 22] = values.results;
}

/** Writes the block `SieveStates` to an address, a multiple of 4. */
export function writeSieveStates({ u32 }: Views, address: number, values: StructValues<'SieveStates'>): void {
  const at = address / 4;
  u32[at + 0] = values.headDim;
  u32[at + 1] = values.rows;
  u32[at + 2] = values.state;
  u32[at + 3] = values.certainState;
  u32[at + 4] = values.firstHalfState;
  u32[at + 5] = values.secondHalfState;
  u32[at + 6] = values.results;
  u32[at + 7] = values.outputs;
  u32[at + 8] = values.scratch;
}
