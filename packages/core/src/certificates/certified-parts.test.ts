/** Certified steps in parts: each part leaves little of what it has read, and so all of them together do. */
import { describe, expect, it } from 'vitest';
import { certifiedPositions } from '../../test/certified-positions.ts';
import { createHeadBench, unreadMass } from '../../test/head-bench.ts';
import { KEY_SHAPE_NAMES, keysOfShape } from '../../test/key-shapes.ts';
import { attention64, distance } from '../../test/plain-attention.ts';
import { createRandom } from '../../test/random.ts';
import { toCertifiedGroup } from '../attention/decode.ts';
import { primaryRegion } from '../group/group-work.ts';
import { type Part, workOfPart } from '../group/parts.ts';
import { ENCODINGS, PAGE_KEYS } from '../kernels/layout.ts';
import { attendCertifiedPart, certifiedPartBytes, mergeCertifiedParts } from './certified-parts.ts';

const [HEAD_DIM, ROWS, N] = [64, 3, 330];

/** Position among all keys of key `i` of a part. */
const positionOf = (i: number, { part, parts }: Part): number =>
  (Math.floor(i / PAGE_KEYS) * parts + part) * PAGE_KEYS + (i % PAGE_KEYS);

function benchOf(keys: Float32Array, values: Float32Array) {
  const bench = createHeadBench({ headDim: HEAD_DIM, keys, values, encodings: ENCODINGS });
  const partBytes = certifiedPartBytes(ROWS, HEAD_DIM);
  return {
    problem: bench.problem,
    attend(queries: Float32Array, tailMass: number, maxReadShare: number, parts: number) {
      const work = bench.query(queries);
      const { kernels, views, workspace } = primaryRegion(work);
      const f32 = new Float32Array((parts * partBytes) / 4);
      const copies = () => ({ ...views(), f32, i32: new Int32Array(f32.buffer) });
      const read = Array.from({ length: ROWS }, (): number[] => []);
      for (let number = 0; number < parts; number++) {
        const part = { part: number, parts };
        attendCertifiedPart(work, tailMass, maxReadShare, part, copies, number * partBytes);
        const own = workOfPart(work, part);
        for (const [row, positions] of read.entries()) {
          const count = copies().i32[(number * partBytes) / 4 + 1 + 3 * row];
          const listed = count === own.n ? Int32Array.from({ length: own.n }, (_, i) => i) : certifiedPositions(own, row);
          positions.push(...Array.from(listed, (i) => positionOf(i, part)));
        }
      }
      // Rows of scores are done with.
      views().f32.set(f32, workspace.scores / 4);
      const merged = mergeCertifiedParts(work, parts, kernels, views, workspace.scores);
      return { ...toCertifiedGroup(work, merged, 'asSelected'), read };
    },
  };
}

describe('the parts of a certified step', () => {
  it.for(KEY_SHAPE_NAMES)('leave no more together than they say, of keys that are %s', (shape) => {
    const random = createRandom(shape.length);
    const { keys, values, query } = keysOfShape(shape, random, N, HEAD_DIM);
    const { attend, problem } = benchOf(keys, values);
    const queries = Float32Array.from([...query, ...query.map((x) => 6 * x), ...random.normals(HEAD_DIM, 3)]);
    const truth = attention64(problem(queries)).outputs;
    for (const [tailMass, parts] of [
      [0.05, 2],
      [0.01, 3],
    ] as const) {
      const { outputs, results, read } = attend(queries, tailMass, 1, parts);
      for (const [row, result] of results.entries()) {
        const range = [row * HEAD_DIM, (row + 1) * HEAD_DIM] as const;
        const positions = Int32Array.from(read[row] as number[]).sort();
        expect(result).toMatchObject({ kind: 'certified', keysExact: positions.length });
        expect(result.tailMass).toBeLessThanOrEqual(tailMass);
        if (result.outcome === 'full') continue;
        const unread = unreadMass(problem(queries.subarray(...range)), N, positions);
        expect(result.tailMass).toBeGreaterThanOrEqual(unread);
        const exact = truth.subarray(...range);
        const size = Math.hypot(...exact);
        const error = distance(outputs.subarray(...range), exact).norm;
        expect(error).toBeLessThanOrEqual(result.outputError * size);
      }
    }
  });

  it('read all of their keys, each for itself, where too many would have to be read', () => {
    const random = createRandom(3);
    const { attend, problem } = benchOf(random.normals(N * HEAD_DIM), random.normals(N * HEAD_DIM));
    const queries = random.normals(ROWS * HEAD_DIM);
    const { outputs, results } = attend(queries, 0.05, 0.1, 2);
    expect(results.map(({ outcome, keysExact, tailMass }) => [outcome, keysExact, tailMass])).toEqual(
      new Array(ROWS).fill(['full', N, 0]),
    );
    const { norm } = distance(outputs, attention64(problem(queries)).outputs);
    expect(norm).toBeLessThan(1e-4);
  });
});
