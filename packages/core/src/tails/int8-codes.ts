/**
 * A cache of 8 bits: every key that was not chosen counts as its int8 codes have it, and so does its value. With few
 * keys chosen it is dense attention over such a cache, one step of scale for every row, as LLM.int8() (arXiv
 * 2208.07339) has it for activations; what is recent stays as it came, and so do the sinks.
 */
import { attendList, carryState, exactBytes, type HeadSegment, partOf } from '../cache/head-query.ts';
import type { Workspace } from '../cache/workspace.ts';
import { centreBytes, rowBytes } from '../kernels/layout.ts';
import type { Tail } from './tail.ts';
import { attendOpen, listUnread } from './unread.ts';

const listOf = ({ codedIndices }: Workspace): number => codedIndices;
const stateOf = ({ halfStates }: Workspace): number => halfStates[0];

export default function createInt8Codes(): Tail {
  return {
    name: 'int8-codes',
    planes: ['int8', 'values'],
    drops: false,
    readsSample: false,
    add(query, { count }, region) {
      const { n, rows, shape, segments } = query;
      const { headDim } = shape;
      if (count === n) return { bytesRead: 0, keysCoded: 0 };
      const { coded, open } = listUnread(query, count);
      attendOpen(query, open, region);
      const visit = (segment: HeadSegment) => {
        const { start, end, indices } = partOf(query, segment, listOf, 0, coded.length);
        const pages = { ...segment.pages, precision: 'int8' } as const;
        attendList({ ...segment, pages }, indices, end - start, rows, stateOf(segment.region.workspace));
      };
      carryState(segments, rows, headDim, visit, stateOf);
      region.kernels.mergeState(region.workspace.state, stateOf(region.workspace), rows, headDim);
      const codes = coded.length * 2 * rowBytes(headDim, 'int8') + centreBytes(n, headDim);
      return { bytesRead: codes + exactBytes(query, open.length), keysCoded: coded.length + open.length };
    },
  };
}
