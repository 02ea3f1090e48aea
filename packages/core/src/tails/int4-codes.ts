/**
 * A cache of 4 bits: every key that was not chosen counts with the score that its 4-bit codes have, and with its 4-bit
 * value. With few keys chosen, the first and the last, it is dense attention over such a cache, as KIVI (arXiv
 * 2402.02750) and KVQuant (arXiv 2401.18079) have it: what is recent stays as it came, and so do the sinks.
 *
 * The codes are those of the plane `int4`: rotated, keys less the centre of their page, with a step for every row.
 */
import { attendCoded, mergeCoded, prepareCodes, scanAll, scanBitsOf, scoreListed } from '../cache/code-query.ts';
import { exactBytes } from '../cache/head-query.ts';
import type { Workspace } from '../cache/workspace.ts';
import { centreBytes, codedBytes } from '../kernels/layout.ts';
import type { Tail } from './tail.ts';
import { attendOpen, listUnread } from './unread.ts';

const listOf = ({ codedIndices }: Workspace): number => codedIndices;
const scoresOf = ({ codedScores }: Workspace): number => codedScores;

export default function createInt4Codes(): Tail {
  return {
    name: 'int4-codes',
    planes: ['int4'],
    drops: false,
    readsSample: false,
    add(query, { count }, region) {
      const { n, shape } = query;
      if (count === n) return { bytesRead: 0, keysCoded: 0 };
      const { coded, open } = listUnread(query, count);
      attendOpen(query, open, region);
      // Scores by codes begin with those of the page centres, which the scan finds.
      prepareCodes(query);
      scanAll(query, scanBitsOf(query));
      scoreListed(query, coded.length, listOf, scoresOf);
      attendCoded(query, 0, coded.length, 0);
      for (const half of [1, 2] as const) attendCoded(query, coded.length, 0, half);
      mergeCoded(query, region);
      const codes = coded.length * 2 * codedBytes(shape.headDim) + centreBytes(n, shape.headDim);
      return { bytesRead: codes + exactBytes(query, open.length), keysCoded: coded.length + open.length };
    },
  };
}
