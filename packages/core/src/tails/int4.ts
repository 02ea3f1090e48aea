/**
 * A cache of 4 bits: every key that was not chosen counts with the score that its 4-bit codes have, and with its 4-bit
 * value. With few keys chosen, the first and the last, it is dense attention over such a cache, as KIVI (arXiv
 * 2402.02750) and KVQuant (arXiv 2401.18079) have it: what is recent stays as it came, and so do the sinks.
 *
 * The codes are those of the plane `int4`: rotated, keys less the centre of their page, with a step for every row.
 */

import { exactRowBytes } from '../group/group-work.ts';
import {
  attendQuantized,
  mergeQuantizedStates,
  prepareQuantizedQueries,
  scanAllKeys,
  scoreQuantizedKeys,
  workScanFractionBits,
} from '../group/quantized-work.ts';
import type { Workspace } from '../group/workspace.ts';
import { centreBytes, quantizedRowBytes } from '../kernels/layout.ts';
import type { Tail } from './tail.ts';
import { attendUnquantized, listUnselected } from './unselected.ts';

const listIn = ({ quantizedIndices }: Workspace): number => quantizedIndices;
const scoresIn = ({ quantizedScores }: Workspace): number => quantizedScores;

export default function createInt4Tail(): Tail {
  return {
    name: 'int4',
    encodings: ['int4'],
    dropsTail: false,
    requiresSample: false,
    add(work, { count }, region) {
      const { n, shape } = work;
      if (count === n) return { bytesRead: 0, keysQuantized: 0 };
      const { quantized, unquantized } = listUnselected(work, count);
      attendUnquantized(work, unquantized, region);
      // Scores by codes begin with those of the page centres, which the scan finds.
      prepareQuantizedQueries(work);
      scanAllKeys(work, workScanFractionBits(work));
      scoreQuantizedKeys(work, quantized.length, listIn, scoresIn);
      attendQuantized(work, 0, quantized.length, 0);
      for (const stateIndex of [1, 2] as const) attendQuantized(work, quantized.length, 0, stateIndex);
      mergeQuantizedStates(work, region);
      const quantizedBytes = quantized.length * 2 * quantizedRowBytes(shape.headDim) + centreBytes(n, shape.headDim);
      return {
        bytesRead: quantizedBytes + exactRowBytes(work, unquantized.length),
        keysQuantized: quantized.length + unquantized.length,
      };
    },
  };
}
