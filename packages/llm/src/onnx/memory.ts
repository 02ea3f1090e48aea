/**
 * What the weights of a plan take in memory once ONNX Runtime has them. Kernels pack matrices anew, which replaces
 * the pages of the file; what they do not pack stays mapped.
 */
import type { MatmulPrecision } from './weight-encoding.ts';
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

function packedBytes({ encoding, components }: PlacedMatrix, precision: MatmulPrecision): number {
  // Kernels with 8-bit activations keep, besides the codes, scales and scales times zero points.
  const scaleCopies = precision !== 'fp32' && encoding.kind === 'blocks' ? 2 : 0;
  return components.reduce((sum, { name, byteLength }) => {
    if (name === 'scales') return sum + scaleCopies * byteLength;
    return name === 'lowerZeroPoints' ? sum : sum + byteLength;
  }, 0);
}

function mappedBytes({ components, uses }: PlacedMatrix): number {
  const fullyMapped = uses.has('table') || uses.has('vector');
  return components.reduce((sum, { name, byteLength }) => {
    return fullyMapped || name === 'scales' || name === 'lowerZeroPoints' ? sum + byteLength : sum;
  }, 0);
}
