/** What every tail estimate must do, whatever the keys. */
import { describe, expect, it } from 'vitest';
import { createHeadBench, SMALL_ARENA_BYTES } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { createRandom } from '../../test/random.ts';
import { selectorsOf } from '../../test/variants.ts';
import { parseBudget } from '../budgets/index.ts';
import type { ThreadRegion } from '../group/group-work.ts';
import { attendPositions } from '../group/group-work.ts';
import { attendWeighted } from '../group/quantized-work.ts';
import { stateOutputs } from '../kernels/kernels.ts';
import { ENCODINGS } from '../kernels/layout.ts';
import type { Tail } from './tail.ts';

const HEAD_DIM = 16;
/**
 * What 4-bit codes may change of a value, relative to its norm: half a step, 1/16 of the largest of 32 rotated numbers,
 * in each of them, so at most sqrt(32) / 16 of the norm.
 */
const CODE_ERROR = Math.sqrt(32) / 16;

const norm = (row: Float32Array): number => Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));

export function describeTail(create: () => Tail): void {
  const { name, dropsTail, requiresSample, encodings } = create();
  const error = encodings.some((encoding) => encoding === 'int4' || encoding === 'int8') ? CODE_ERROR : 0;
  const selectors = [...selectorsOf()].filter(
    ([, selector]) => (selector().sampleSize !== undefined) === requiresSample,
  );
  describe(`the tail ${name}`, () => {
    it.for(KEY_SHAPE_NAMES)(
      `with keys %s: ${dropsTail ? 'leaves the state alone' : 'adds what values can add up to'}`,
      (shape) => {
        for (const arenaBytes of [2 ** 24, SMALL_ARENA_BYTES]) {
          const { keys, values, query: row } = keysOfShape(shape, createRandom(1), 700, HEAD_DIM);
          const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, arenaBytes, encodings: ENCODINGS });
          for (const n of [1, 2, 40, 64, 65, 700]) {
            for (const [selector, createSelector] of selectors) {
              for (const text of ['fixed:1', 'fixed:40', 'mass:0.3', 'fraction:1']) {
                const what = `${text} of ${n}, ${selector}`;
                const query = bench.query(row, n);
                const selection = createSelector().select(query, parseBudget(text));
                const region =
                  requiresSample && selection.sample
                    ? attendWeighted(query, selection.count)
                    : attendPositions(query, selection.count);
                const before = stateOf(region);
                const { bytesRead } = create().add(query, selection, region);
                const after = stateOf(region);
                expect(Number.isSafeInteger(bytesRead) && bytesRead >= 0, what).toBe(true);
                if (dropsTail || selection.count === n) expect(after, what).toEqual(before);
                else expectEstimate(before, after, values.subarray(0, n * HEAD_DIM), error, what);
              }
            }
          }
        }
      },
    );
  });
}

interface State {
  max: number;
  sum: number;
  outputs: Float32Array;
}

function stateOf({ views, workspace }: ThreadRegion): State {
  const { f32 } = views();
  const outputs = stateOutputs(workspace.state, 1) / 4;
  return {
    max: f32[workspace.state / 4] as number,
    sum: f32[workspace.state / 4 + 1] as number,
    outputs: f32.slice(outputs, outputs + HEAD_DIM),
  };
}

/** A tail has weight of its own, and what it adds is a mean of values: an output stays within their range. */
function expectEstimate(before: State, after: State, values: Float32Array, error: number, what: string): void {
  const mass = ({ max, sum }: State) => max + Math.log(sum);
  expect(mass(after), what).toBeGreaterThanOrEqual(mass(before) - 1e-5);
  // Values are kept in float16.
  let longest = 0;
  for (let j = 0; j < values.length; j += HEAD_DIM) longest = Math.max(longest, norm(values.subarray(j, j + HEAD_DIM)));
  for (const [i, x] of after.outputs.entries()) {
    const column = values.filter((_, at) => at % HEAD_DIM === i);
    const [min, max] = [Math.min(...column), Math.max(...column)];
    const slack = 1e-3 * (max - min) + 1e-6 + (error + 2 ** -11) * longest;
    expect(x / after.sum, what).toBeGreaterThanOrEqual(min - slack);
    expect(x / after.sum, what).toBeLessThanOrEqual(max + slack);
  }
}
