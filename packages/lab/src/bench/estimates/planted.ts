/** Heads whose keys were made up, of every kind that a sample may have trouble with. */
import type { CapturedHead } from '../../captures/captured-head.ts';
import { createRandom, normals, type Random } from '../../numerics/random.ts';

/** What a head is made of. */
interface Numbers {
  /** (n, d) each */
  keys: Float32Array;
  values: Float32Array;
  /** A query (d). */
  query(random: Random): Float32Array;
}

/** Makes a head of n keys. */
export type Plant = (random: Random, n: number, d: number) => Numbers;

const scaled = (random: Random, count: number, scale: number) => normals(random, count).map((x) => x * scale);

/** Normal keys and values under normal queries: scores are spread by `scale` nats. */
const normalKeys =
  (scale: number, modify: (x: number, key: number) => number = (x) => x): Plant =>
  (random, n, d) => ({
    keys: normals(random, n * d).map((x, i) => modify(x, Math.floor(i / d))),
    values: normals(random, n * d),
    query: (next) => scaled(next, d, scale),
  });

/** Keys and values about 32 centres, in runs or mixed. */
const clustered =
  (centreOf: (key: number, n: number) => number): Plant =>
  (random, n, d) => {
    const centres = normals(random, 32 * d);
    const about = () =>
      scaled(random, n * d, 0.5).map(
        (x, i) => x + (centres[(centreOf(Math.floor(i / d), n) % 32) * d + (i % d)] as number),
      );
    return { keys: about(), values: about(), query: (next) => scaled(next, d, 4) };
  };

/** Scales of the queries of normal keys. */
export const QUERY_SCALES = [1, 2, 4, 8, 16, 32, 48];

/** All kinds of keys, by name; normal ones for queries of each of these scales. */
export const plantedSets = (scales: readonly number[]): Readonly<Record<string, Plant>> => ({
  flat: normalKeys(0.01),
  equal: normalKeys(3, () => 0.5),
  peaked: (random, n, d) => {
    const { keys, values } = normalKeys(1)(random, n, d);
    const needle = scaled(random, d, 2);
    for (let i = 0; i < d; i++) keys[Math.floor(n / 3) * d + i] = 2 * (needle[i] as number);
    return { keys, values, query: (next) => scaled(next, d, 0.5).map((x, i) => x + (needle[i] as number)) };
  },
  'clustered in runs': clustered((key, n) => Math.floor((key * 64) / n)),
  'clustered, mixed': clustered((key) => key * 7919),
  'one huge': normalKeys(3, (x, key) => (key === 5 ? 300 * x : x)),
  'values with a mean': (random, n, d) => {
    const mean = scaled(random, d, 0.5);
    const { keys, values, query } = normalKeys(1)(random, n, d);
    return { keys, values: values.map((x, i) => x + (mean[i % d] as number)), query };
  },
  ...Object.fromEntries(scales.map((scale) => [`normal, queries x ${scale}`, normalKeys(scale)])),
});

/** A planted head, with queries at its last positions. Equal seeds give equal heads. */
export function plantedHead(
  plant: Plant,
  seed: number,
  { n, headDim, group, lastQueries }: Pick<CapturedHead, 'n' | 'headDim' | 'group' | 'lastQueries'>,
): Omit<CapturedHead, 'name'> {
  const random = createRandom(seed);
  const { keys, values, query } = plant(random, n, headDim);
  const queries = new Float32Array(group * lastQueries * headDim);
  for (let at = 0; at < queries.length; at += headDim) queries.set(query(random), at);
  return { headDim, n, group, lastQueries, keys, values, queries };
}
