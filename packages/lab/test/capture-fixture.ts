/** Small captured heads of repeatable numbers, some of whose keys matter to every query. */
import type { CapturedHead } from '../src/captures/captured-head.ts';
import { createRandom } from '../src/methods/numbers.ts';

export interface CaptureFixtureOptions {
  heads?: number;
  n?: number;
  headDim?: number;
  group?: number;
  lastQueries?: number;
}

/** Keys and queries share a direction, so that attention is neither flat nor a single key's. */
export function captureFixture({
  heads = 2,
  n = 640,
  headDim = 16,
  group = 2,
  lastQueries = 128,
}: CaptureFixtureOptions = {}): CapturedHead[] {
  return Array.from({ length: heads }, (_, index) => {
    const random = createRandom(100 + index);
    const direction = random.normals(headDim);
    const along = (count: number, size: number) => {
      const rows = new Float32Array(count * headDim);
      for (let j = 0; j < count; j++) {
        const strength = size * random.normal();
        for (let i = 0; i < headDim; i++) rows[j * headDim + i] = random.normal() + strength * (direction[i] as number);
      }
      return rows;
    };
    return {
      name: `l${index}.g0`,
      headDim,
      n,
      group,
      lastQueries,
      keys: along(n, 0.5),
      values: Float32Array.from(random.normals(n * headDim)),
      queries: along(group * lastQueries, 1),
    };
  });
}
