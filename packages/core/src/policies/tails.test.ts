import { describe, expect, it } from 'vitest';
import { createHeadBench } from '../../test/head-bench.ts';
import { createRandom } from '../../test/random.ts';
import { tailsOf } from '../../test/variants.ts';
import { parseBudget } from '../budgets/index.ts';
import { attendPositions, logSumExp, normalizedOutputs, readStateSums } from '../group/group-work.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import createWindow from '../selectors/window.ts';
import createPageMeans from '../tails/page-means.ts';
import { describeTail } from '../tails/tail.conformance.ts';

for (const create of tailsOf().values()) describeTail(create);

describe('page means', () => {
  it('count as many keys as a page has left, at the mean of its keys, with the mean of its values', () => {
    const random = createRandom(3);
    // Equal keys: every key has the score of the mean, and the tail is known exactly.
    const keys = new Float32Array(320 * 16).fill(0.25);
    const values = random.normals(320 * 16).map((x) => Math.round(x * 256) / 256);
    const bench = createHeadBench({ headDim: 16, keys, values, encodings: ENCODINGS });
    const query = bench.query(random.normals(16));
    const selection = createWindow().select(query, parseBudget('fixed:40'));
    const region = attendPositions(query, selection.count);
    const [before] = readStateSums(region, 1) as [{ max: number; sum: number }];
    createPageMeans().add(query, selection, region);
    const [after] = readStateSums(region, 1) as [{ max: number; sum: number }];
    const weights = Math.exp(logSumExp(after) - logSumExp(before));
    expect(weights).toBeCloseTo(320 / 40, 4);
    const read = [...bench.selectedPositions(query, 40)];
    for (const [i, x] of normalizedOutputs(region, 1, 16).entries()) {
      const column = (j: number) => values[j * 16 + i] as number;
      const sum = read.reduce((total, j) => total + column(j), 0);
      // Four sinks and 36 recent keys were read.
      const tail = [60, 64, 64, 64, 28].reduce((total, unread, page) => {
        const pageColumn = Array.from({ length: 64 }, (_, j) => column(64 * page + j));
        return total + (unread / 64) * pageColumn.reduce((a, b) => a + b, 0);
      }, 0);
      expect(x).toBeCloseTo((sum + tail) / 320, 4);
    }
  });
});
