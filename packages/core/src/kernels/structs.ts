/**
 * Parameter blocks: what a kernel in WebAssembly takes by one address in place of many numbers. A block is a run of
 * fields of four bytes. `npm run build:wasm` makes classes for AssemblyScript and writers for TypeScript of them, so
 * that names and offsets stand here alone.
 */
import type { Views } from './views.ts';

/** How AssemblyScript reads a field: `usize` for addresses and offsets in bytes. */
type FieldType = 'usize' | 'i32' | 'f32';

type Fields = Readonly<Record<string, FieldType>>;

export const STRUCTS = {
  /** `Pages`. Of booleans 1 is true. */
  Pages: {
    exactTable: 'usize',
    exactOffset: 'usize',
    headDim: 'i32',
    isFloat16: 'i32',
    dropsExactRows: 'i32',
    table: 'usize',
    headOffset: 'usize',
    sign: 'usize',
    bounds: 'usize',
    int4: 'usize',
    int8: 'usize',
    values: 'usize',
    summary: 'usize',
    minMax: 'usize',
    basis: 'usize',
  },
  /** `KeyDraw`. */
  KeyDraw: {
    n: 'i32',
    sinks: 'i32',
    recentFrom: 'i32',
    maxKeys: 'i32',
    seed: 'i32',
    fractionBits: 'i32',
    proposals: 'usize',
    tables: 'usize',
    indices: 'usize',
    logProbabilities: 'usize',
    threshold: 'usize',
    keyBlocks: 'usize',
    scratch: 'usize',
  },
  /** `SampleSplit`. */
  SampleSplit: {
    indices: 'usize',
    logProbabilities: 'usize',
    scores: 'usize',
    stride: 'i32',
    rows: 'i32',
    count: 'i32',
    shares: 'usize',
    selected: 'usize',
    selectedCount: 'i32',
    minShare: 'f32',
    quantizedIndices: 'usize',
    quantizedScores: 'usize',
    quantizedStride: 'i32',
    parts: 'usize',
  },
  /** `SieveStep`, and the strides of its buffers. */
  SieveStep: {
    n: 'i32',
    rows: 'i32',
    fractionBits: 'i32',
    sinks: 'i32',
    recentFrom: 'i32',
    maxKeys: 'i32',
    seed: 'i32',
    proposalExponent: 'f32',
    logCap: 'f32',
    exactSinks: 'i32',
    exactRecentFrom: 'i32',
    maxExactKeys: 'i32',
    minLogShare: 'f32',
    scoreStride: 'i32',
    scanStride: 'i32',
  },
  /** `SieveBuffers`: addresses of the buffers of a step, by their names in a workspace. */
  SieveBuffers: {
    queries: 'usize',
    quantizedQuery: 'usize',
    centerScores: 'usize',
    signScores: 'usize',
    scores: 'usize',
    softmaxStatistics: 'usize',
    offsets: 'usize',
    logWeightCaps: 'usize',
    pooled: 'usize',
    drawTables: 'usize',
    indices: 'usize',
    logProbabilities: 'usize',
    threshold: 'usize',
    drawBlocks: 'usize',
    quantizedIndices: 'usize',
    quantizedScores: 'usize',
    sampleParts: 'usize',
    state: 'usize',
    certainState: 'usize',
    firstHalfState: 'usize',
    secondHalfState: 'usize',
    scratch: 'usize',
    results: 'usize',
  },
  /** `SieveStates`, and what `finishSieve` takes beside them. */
  SieveStates: {
    headDim: 'i32',
    rows: 'i32',
    state: 'usize',
    certainState: 'usize',
    firstHalfState: 'usize',
    secondHalfState: 'usize',
    results: 'usize',
    outputs: 'usize',
    scratch: 'usize',
  },
} as const satisfies Readonly<Record<string, Fields>>;

export type StructName = keyof typeof STRUCTS;

/** The fields of a block as numbers. */
export type StructValues<Name extends StructName> = { readonly [Field in keyof (typeof STRUCTS)[Name]]: number };

/** Bytes of a block. */
export const structBytes = (name: StructName): number => Object.keys(STRUCTS[name]).length * 4;

/** Reads a block from an address. For writing there are the functions of `structs.generated.ts`, which are faster. */
export const readStruct = <Name extends StructName>(
  { u32, f32 }: Views,
  address: number,
  name: Name,
): StructValues<Name> =>
  Object.fromEntries(
    Object.entries(STRUCTS[name]).map(([field, type], i) => [field, (type === 'f32' ? f32 : u32)[address / 4 + i]]),
  ) as StructValues<Name>;

/**
 * Bytes that an instance of the kernels needs for itself: the block `Pages`, then one other; behind `SieveStep` the
 * step itself keeps those of the kernels that it calls.
 */
export const PARAMETER_BYTES =
  structBytes('Pages') +
  Math.max(structBytes('SieveStep') + structBytes('KeyDraw') + structBytes('SampleSplit'), structBytes('SieveStates'));
