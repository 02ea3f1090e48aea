/**
 * What the weights of a plan take in memory once ONNX Runtime has them. Kernels pack matrices anew, which replaces
 * the pages of the file; what they do not pack stays mapped.
 */
import type { ComponentName, MatmulPrecision } from './weight-encoding.ts';
import type { PlacedMatrix, WeightsPlan } from './weights-plan.ts';

export interface WeightsMemory {
  /** Bytes of the weights as kernels hold them, once. */
  readonly packed: number;
  /** Bytes of the weights file that stay mapped: the system may drop and read them again. At most; tables count as they are read. */
  readonly mapped: number;
  /** Bytes of the segments' own structures: graphs, kernels, threads. */
  readonly segments: number;
}

/** Graph, kernels and sleeping threads of a segment (measured: .35 to .45 MB). */
const bytesPerSegment = 400 * 1024;

export function weightsMemory(plan: WeightsPlan, precision: MatmulPrecision, segments: number): WeightsMemory {
  let packed = 0;
  let mapped = 0;
  for (const matrix of plan.matrices) {
    if (matrix.uses.has('product')) packed += packedBytes(matrix, precision);
    mapped += mappedBytes(matrix);
  }
  return { packed, mapped, segments: segments * bytesPerSegment };
}

function packedBytes({ encoding, components, rows, rowLength }: PlacedMatrix, precision: MatmulPrecision): number {
  if (encoding.kind !== 'blocks') return bytesOf(components, (name) => name !== 'scales');
  const blockBytes = ((rows * rowLength) / encoding.blockSize) * Float32Array.BYTES_PER_ELEMENT;
  // Kernels with 8-bit activations keep, besides the codes, scales and scales times zero points. Scales that are made of
  // factors are multiplied out when the graph is loaded, and stay; offsets are packed.
  const scaleCopies = (precision === 'fp32' ? 0 : 2) + (encoding.factors === undefined ? 0 : 1);
  const offsets = encoding.hasOffsets ? 1 : 0;
  return bytesOf(components, (name) => CODES.has(name)) + (scaleCopies + offsets) * blockBytes;
}

/** Components that kernels pack as they are. */
const CODES: ReadonlySet<ComponentName> = new Set(['quantized', 'upperNibbles', 'lowerNibbles']);
/** Components that kernels read where they are mapped. */
const READ_IN_PLACE: ReadonlySet<ComponentName> = new Set(['scales', 'lowerZeroPoints']);

function mappedBytes({ components, uses }: PlacedMatrix): number {
  const fullyMapped = uses.has('table') || uses.has('vector');
  return bytesOf(components, (name) => fullyMapped || READ_IN_PLACE.has(name));
}

const bytesOf = (components: PlacedMatrix['components'], counts: (name: ComponentName) => boolean): number =>
  components.reduce((sum, { name, byteLength }) => (counts(name) ? sum + byteLength : sum), 0);
