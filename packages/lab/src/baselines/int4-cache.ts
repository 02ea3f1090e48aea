/**
 * A 4-bit cache: every unselected key counts with its score from 4-bit keys, and with its 4-bit value. With a window
 * selected, this is full attention over a quantized cache in which sinks and recent keys stay exact, as in KIVI (arXiv
 * 2402.02750) and KVQuant (arXiv 2401.18079).
 *
 * Rows are those of the encoding `int4`: rotated, keys relative to the centre of their page, a quantization step a row.
 */
import type { ExtensionApi, Tail, Workspace } from 'keysieve/extend';

const listIn = ({ quantizedIndices }: Workspace): number => quantizedIndices;
const scoresIn = ({ quantizedScores }: Workspace): number => quantizedScores;

export function createInt4Cache(api: ExtensionApi): Tail {
  const { attendQuantized, attendUnquantized, centreBytes, exactRowBytes, listUnselected, quantizedRowBytes } = api;
  return {
    name: 'int4-cache',
    encodings: ['int4'],
    dropsTail: false,
    requiresSample: false,
    add(work, { count }, region) {
      const { n, shape } = work;
      if (count === n) return { bytesRead: 0, keysQuantized: 0 };
      const { quantized, unquantized } = listUnselected(work, count);
      attendUnquantized(work, unquantized, region);
      // Scores of quantized keys are relative to those of the page centres, which the scan computes.
      api.prepareQuantizedQueries(work);
      api.scanAllKeys(work, api.workScanFractionBits(work));
      api.scoreQuantizedKeys(work, quantized.length, listIn, scoresIn);
      attendQuantized(work, 0, quantized.length, 0);
      for (const stateIndex of [1, 2] as const) attendQuantized(work, quantized.length, 0, stateIndex);
      api.mergeQuantizedStates(work, region);
      const quantizedBytes = quantized.length * 2 * quantizedRowBytes(shape.headDim) + centreBytes(n, shape.headDim);
      return {
        bytesRead: quantizedBytes + exactRowBytes(work, unquantized.length),
        keysQuantized: quantized.length + unquantized.length,
      };
    },
  };
}
