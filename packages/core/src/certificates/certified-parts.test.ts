/** Certified steps in parts: each part leaves little of what it has read, and so all of them together do. */
import { describe, expect, it } from 'vitest';
import { attendInParts } from '../../test/certified-in-parts.ts';
import { createHeadBench, unreadMass } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { ENCODINGS } from '../kernels/layout.ts';

const [HEAD_DIM, ROWS, N] = [64, 3, 330];

const target = (tailMass: number) => ({ tailMass, atOnce: true, outcome: 'asSelected' }) as const;

describe('the parts of a certified step', () => {
  it.for(KEY_SHAPE_NAMES)('leave no more together than they say, of keys that are %s', (shape) => {
    const random = createRandom(shape.length);
    const { keys, values, query } = keysOfShape(shape, random, N, HEAD_DIM);
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    const queries = Float32Array.from([...query, ...query.map((x) => 6 * x), ...random.normals(HEAD_DIM, 3)]);
    const truth = attention64(bench.problem(queries)).outputs;
    for (const [tailMass, parts] of [
      [0.05, 2],
      [0.01, 3],
    ] as const) {
      const { outputs, results, read } = attendInParts(bench.query(queries), target(tailMass), 1, parts);
      for (const [row, result] of results.entries()) {
        const range = [row * HEAD_DIM, (row + 1) * HEAD_DIM] as const;
        const positions = read[row] as Int32Array;
        expect(result).toMatchObject({ kind: 'certified', keysExact: positions.length });
        expect(result.tailMass).toBeLessThanOrEqual(tailMass);
        if (result.outcome === 'full') continue;
        const unread = unreadMass(bench.problem(queries.subarray(...range)), N, positions);
        expect(result.tailMass).toBeGreaterThanOrEqual(unread);
        const exact = truth.subarray(...range);
        const error = distance(outputs.subarray(...range), exact).norm;
        expect(error).toBeLessThanOrEqual(result.outputError * Math.hypot(...exact));
      }
    }
  });

  it('read all of their keys, each for itself, where too many would have to be read', () => {
    const random = createRandom(3);
    const [keys, values] = [random.normals(N * HEAD_DIM), random.normals(N * HEAD_DIM)];
    const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
    const queries = random.normals(ROWS * HEAD_DIM);
    const { outputs, results } = attendInParts(bench.query(queries), target(0.05), 0.1, 2);
    expect(results.map(({ outcome, keysExact, tailMass }) => [outcome, keysExact, tailMass])).toEqual(
      new Array(ROWS).fill(['full', N, 0]),
    );
    expect(distance(outputs, attention64(bench.problem(queries)).outputs).norm).toBeLessThan(1e-4);
  });
});
