/** Caches of 8 and of 4 bits: their outputs are attention to dequantized rows. */

import { ENCODINGS, parseBudget } from 'keysieve';
import {
  attention64,
  centreOf,
  createHeadBench,
  createTestRandom,
  distance,
  int4Row,
  int8Row,
  inverseRotate,
  normalizedOutputs,
  type QuantizedKey,
  quantizedKey,
  rotate,
} from 'keysieve/conformance';
import * as api from 'keysieve/extend';
import { describe, expect, it } from 'vitest';
import { createInt4Cache } from './int4-cache.ts';
import { createInt8Cache } from './int8-cache.ts';

const { attendPositions, createWindow, PAGE_KEYS, rotatedDim } = api;
const [HEAD_DIM, ROWS] = [48, 3];
const D = rotatedDim(HEAD_DIM);
/** Whole pages, and a page that is not full. */
const LENGTHS = [64, 200, 640];

/** Queries, keys and values of the whole pages dequantized and rotated, the others and the selected as they came. */
function dequantizedProblem(
  query: api.GroupWork,
  rows: Float32Array,
  exact: { keys: Float32Array; values: Float32Array },
  chosen: ReadonlySet<number>,
  rowOf: (...args: Parameters<typeof int4Row>) => Float64Array,
) {
  const { n, segments } = query;
  const keys: number[] = [];
  const values: number[] = [];
  for (let j = 0; j < n; j++) {
    const segment = segments.find(({ from, to }) => from <= j && j < to) as (typeof segments)[0];
    const isQuantized = j < n - (n % PAGE_KEYS) && !chosen.has(j);
    const views = segment.region.views();
    const key: QuantizedKey = quantizedKey(views, segment.pages, j);
    const rotatedRow = (numbers: Float32Array) => rotate(numbers.subarray(j * HEAD_DIM, (j + 1) * HEAD_DIM));
    const centre = centreOf(views, key);
    keys.push(
      ...(isQuantized ? rowOf(views, key, 'key').map((y, i) => y + (centre[i] as number)) : rotatedRow(exact.keys)),
    );
    values.push(...(isQuantized ? rowOf(views, key, 'value') : rotatedRow(exact.values)));
  }
  const queries: number[] = [];
  for (let row = 0; row < ROWS; row++) {
    const scaled = rows.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM).map((x) => x / Math.sqrt(HEAD_DIM));
    queries.push(...rotate(scaled));
  }
  const visible = Array.from({ length: ROWS }, () => Int32Array.from({ length: n }, (_, j) => j));
  return { headDim: D, queries, keys, values, visible };
}

describe.for([
  ['int8', createInt8Cache, int8Row, 1e-4],
  // Weights are rounded to 15 bits with values of 4.
  ['int4', createInt4Cache, int4Row, 2e-3],
] as const)('full attention over a cache of %s', ([, create, rowOf, tolerance]) => {
  it.for([2 ** 24, 2 ** 19])('is attention to dequantized rows, in arenas of %d bytes', (arenaBytes) => {
    const random = createTestRandom(5);
    const exact = { keys: random.normals(640 * HEAD_DIM), values: random.normals(640 * HEAD_DIM) };
    const bench = createHeadBench({ headDim: HEAD_DIM, ...exact, encodings: ENCODINGS, precision: 'f32', arenaBytes });
    for (const n of LENGTHS) {
      for (const budget of ['fixed:1', 'fixed:50']) {
        const rows = random.normals(ROWS * HEAD_DIM, 2);
        const query = bench.query(rows, n);
        const selection = createWindow().select(query, parseBudget(budget));
        const chosen = new Set(bench.selectedPositions(query, selection.count));
        const region = attendPositions(query, selection.count);
        const { keysQuantized } = create(api).add(query, selection, region);
        expect(keysQuantized).toBe(n - selection.count);
        const outputs = normalizedOutputs(region, ROWS, HEAD_DIM);
        const truth = attention64(dequantizedProblem(query, rows, exact, chosen, rowOf)).outputs;
        for (let row = 0; row < ROWS; row++) {
          const expected = inverseRotate(truth.subarray(row * D, (row + 1) * D), HEAD_DIM);
          const error = distance(outputs.subarray(row * HEAD_DIM, (row + 1) * HEAD_DIM), expected).norm;
          expect(error / Math.hypot(...expected), `${budget} of ${n}`).toBeLessThan(tolerance);
        }
      }
    }
  });
});
