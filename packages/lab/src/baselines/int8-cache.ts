/**
 * An 8-bit cache: every unselected key counts with its int8 key and value. With a window selected, this is full attention
 * over a quantized cache in which sinks and recent keys stay exact. There is a quantization step a row, as LLM.int8() (arXiv
 * 2208.07339) has it for activations.
 */
import type { ExtensionApi, HeadSegment, Tail, Workspace } from 'keysieve/extend';

const listIn = ({ quantizedIndices }: Workspace): number => quantizedIndices;
const stateIn = ({ halfSampleStates }: Workspace): number => halfSampleStates[0];

export function createInt8Cache(api: ExtensionApi): Tail {
  const { attendList, attendUnquantized, centreBytes, exactRowBytes, foldSegments, listPartIn, listUnselected } = api;
  return {
    name: 'int8-cache',
    encodings: ['int8', 'values'],
    dropsTail: false,
    requiresSample: false,
    add(work, { count }, region) {
      const { n, rows, shape, segments } = work;
      const { headDim } = shape;
      if (count === n) return { bytesRead: 0, keysQuantized: 0 };
      const { quantized, unquantized } = listUnselected(work, count);
      attendUnquantized(work, unquantized, region);
      const visit = (segment: HeadSegment) => {
        const { start, end, indices } = listPartIn(work, segment, listIn, 0, quantized.length);
        const pages = { ...segment.pages, precision: 'int8' } as const;
        attendList({ ...segment, pages }, indices, end - start, rows, stateIn(segment.region.workspace));
      };
      foldSegments(segments, rows, headDim, visit, stateIn);
      region.kernels.mergeState(region.workspace.state, stateIn(region.workspace), rows, headDim);
      const quantizedBytes = quantized.length * 2 * api.rowBytes(headDim, 'int8') + centreBytes(n, headDim);
      return {
        bytesRead: quantizedBytes + exactRowBytes(work, unquantized.length),
        keysQuantized: quantized.length + unquantized.length,
      };
    },
  };
}
