/**
 * What the weights of a plan take in memory once ONNX Runtime has them. Kernels pack matrices anew, which replaces
 * the pages of the file; what they do not pack stays mapped, and is in memory as far as it was read.
 */
import { MAPS_WEIGHTS } from '#onnx-runtime';
import type { BlockProducts, ComponentName, MatmulPrecision } from './weight-encoding.ts';
import type { PlacedMatrix, WeightsPlan } from './weights-plan.ts';

export interface WeightsMemory {
  /** Bytes of the weights as kernels hold them, once. */
  readonly packed: number;
  /** Bytes of the weights file that stay mapped and are read in every pass. */
  readonly mapped: number;
  /** Bytes of the components of tables whose rows are looked up: see `residentWeights`. */
  readonly tables: readonly number[];
  /** Bytes of the segments' own structures: graphs, kernels, threads. */
  readonly segments: number;
}

/** Graph, kernels and sleeping threads of a segment (measured: .35 to .45 MB). */
const bytesPerSegment = 400 * 1024;

/** How the weights of a plan are multiplied. */
export interface WeightProducts {
  precision: MatmulPrecision;
  blockProducts: BlockProducts;
}

export function weightsMemory(plan: WeightsPlan, products: WeightProducts, segments: number): WeightsMemory {
  let packed = 0;
  let mapped = 0;
  const tables: number[] = [];
  for (const matrix of plan.matrices) {
    if (matrix.uses.has('product')) packed += packedBytes(matrix, products);
    if (matrix.uses.has('table')) tables.push(...matrix.components.map(({ byteLength }) => byteLength));
    else mapped += mappedBytes(matrix);
  }
  return { packed, mapped, tables, segments: segments * bytesPerSegment };
}

/**
 * Bytes of the weights that are in memory when texts of `tokens` tokens have been read. Of a table that is the parts that
 * their rows lie in: the system maps what is around a row that is read, and many rows share a part.
 */
export function residentWeights({ packed, mapped, tables, segments }: WeightsMemory, tokens: number): number {
  const looked = distinctTokens(tokens);
  const readOf = (bytes: number) => (MAPS_WEIGHTS ? bytes * -Math.expm1((-looked * MAPPED_AROUND) / bytes) : bytes);
  return packed + mapped + segments + tables.reduce((sum, bytes) => sum + (bytes === 0 ? 0 : readOf(bytes)), 0);
}

/** What Linux maps of a file around an address that is read, where it has it in memory (`fault_around_bytes`). */
const MAPPED_AROUND = 2 ** 16;

/**
 * Different tokens of a text of `count` tokens (Heaps' law; measured: of 8,000 tokens of a novel 2,200 to 2,300, of TypeScript
 * 730 to 990).
 */
const distinctTokens = (count: number): number => Math.min(count, 6 * count ** 0.62);

function packedBytes(
  { encoding, components, rows, rowLength }: PlacedMatrix,
  { precision, blockProducts }: WeightProducts,
): number {
  if (encoding.kind !== 'blocks') return bytesOf(components, (name) => name !== 'scales');
  if (precision === 'fp32' && blockProducts === 'as-floats') return rows * rowLength * Float32Array.BYTES_PER_ELEMENT;
  const blockBytes = ((rows * rowLength) / encoding.blockSize) * Float32Array.BYTES_PER_ELEMENT;
  // Measured. Kernels with 8-bit activations keep, besides the codes, scales and scales times zero points, those for 8-bit
  // weights one more. Scales that are made of factors are multiplied out when the graph is loaded, and stay; offsets are packed.
  const keptByKernel = precision === 'fp32' ? 0 : encoding.bits === 8 ? 3 : 2;
  const scaleCopies = keptByKernel + (encoding.factors === undefined ? 0 : 1);
  const offsets = encoding.hasOffsets ? 1 : 0;
  return bytesOf(components, (name) => CODES.has(name)) + (scaleCopies + offsets) * blockBytes;
}

/** Components that kernels pack as they are. */
const CODES: ReadonlySet<ComponentName> = new Set(['quantized', 'upperNibbles', 'lowerNibbles']);
/** Components that kernels read where they are mapped. */
const READ_IN_PLACE: ReadonlySet<ComponentName> = new Set(['scales', 'lowerZeroPoints']);

function mappedBytes({ components, uses }: PlacedMatrix): number {
  const fullyMapped = uses.has('vector');
  return bytesOf(components, (name) => fullyMapped || READ_IN_PLACE.has(name));
}

const bytesOf = (components: PlacedMatrix['components'], counts: (name: ComponentName) => boolean): number =>
  components.reduce((sum, { name, byteLength }) => (counts(name) ? sum + byteLength : sum), 0);
