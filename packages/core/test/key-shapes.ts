/** Keys of every kind that an adversary, or a model, may come with. */
import type { Random } from './random.ts';

export interface KeyShape {
  keys: Float32Array;
  values: Float32Array;
  /** (d), not scaled. */
  query: Float32Array;
}

type MakeShape = (random: Random, n: number, headDim: number) => KeyShape;

/** Normal keys under a query whose scores are spread by `spread` nats. */
const normal =
  (spread: number): MakeShape =>
  (random, n, headDim) => ({
    keys: random.normals(n * headDim),
    values: random.normals(n * headDim),
    query: random.normals(headDim, spread),
  });

/** Normal keys, each changed by its position. */
const modified =
  (modify: (x: number, position: number, random: Random) => number, spread = 3): MakeShape =>
  (random, n, headDim) => {
    const { keys, values, query } = normal(spread)(random, n, headDim);
    return { keys: keys.map((x, i) => modify(x, Math.floor(i / headDim), random)), values, query };
  };

/** Keys whose score with the query is exactly what `score` says, but for rounding. */
const withScores =
  (score: (position: number, n: number, random: Random) => number): MakeShape =>
  (random, n, headDim) => {
    const values = random.normals(n * headDim);
    const query = new Float32Array(headDim);
    query[0] = Math.sqrt(headDim);
    const keys = new Float32Array(n * headDim);
    for (let position = 0; position < n; position++) keys[position * headDim] = score(position, n, random);
    return { keys, values, query };
  };

const KEY_SHAPES = {
  normal: normal(1),
  flat: normal(0.01),
  peaked: normal(10),
  'all equal': modified(() => 0.5),
  'all zero': modified(() => 0),
  'few different': withScores((position) => position % 3),
  'one huge': modified((x, position) => (position === 5 ? 300 * x : x)),
  'the last huge': (random, n, headDim) =>
    modified((x, position) => (position === n - 1 ? 300 * x : x))(random, n, headDim),
  'over six decades': (random, n, headDim) => {
    const decades = Array.from({ length: n }, () => 10 ** (6 * random.uniform() - 3));
    return modified((x, position) => x * (decades[position] as number), 1)(random, n, headDim);
  },
  'rising by little': withScores((position, n) => (4 * position) / n),
  'falling by much': withScores((position, n) => 60 - (80 * position) / n),
  'away from the query': withScores((_position, _n, random) => -50 - random.uniform()),
  'values that cancel': (random, n, headDim) => {
    const shape = normal(0.5)(random, n, headDim);
    return { ...shape, values: shape.values.map((x, i) => (Math.floor(i / headDim) % 2 === 0 ? 1 : -1) + 1e-3 * x) };
  },
  'one huge value': (random, n, headDim) => {
    const shape = normal(2)(random, n, headDim);
    return {
      ...shape,
      values: shape.values.map((x, i) => (Math.floor(i / headDim) === Math.floor(n / 2) ? 1e4 * x : x)),
    };
  },
} satisfies Record<string, MakeShape>;

export type KeyShapeName = keyof typeof KEY_SHAPES;
export const KEY_SHAPE_NAMES = Object.keys(KEY_SHAPES) as KeyShapeName[];

/** n keys and values, and a query, of a shape. */
export const keysOfShape = (name: KeyShapeName, random: Random, n: number, headDim: number): KeyShape =>
  KEY_SHAPES[name](random, n, headDim);
