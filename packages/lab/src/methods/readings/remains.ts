/** One-pass states as the remains of evicted keys: what stands for them, by memory, behind keys chosen by votes. */

import { mean } from '../../numerics/statistics.ts';
import { compared, type Point, type Reading, type Study, short } from '../method.ts';
import { createRandom, max } from '../numbers.ts';
import { type Clusters, clustersInOnePass, type Degree, merged, remainsOfClusters, singles } from './clusters.ts';
import {
  type EvictionHead,
  errorsByHead,
  evictionErrors,
  evictionHeads,
  keepMost,
  plainPoints,
  snapkvReference,
} from './eviction.ts';

/** Keys of the prompt that are kept. */
const KEPT = [128, 256, 512] as const;
const PAGE = 64;
const ROUNDS = 6;
const ROUNDS_ONE_PASS = 4;

/** Keys and values (evicted, d) that are not kept, in order. */
export function evicted(
  { d, prompt, keys, values }: EvictionHead,
  kept: Uint32Array,
): { keys: Float64Array; values: Float64Array } {
  const held = new Set(kept);
  const gone = Array.from({ length: prompt }, (_, j) => j).filter((j) => !held.has(j));
  const rows = (source: Float64Array) => {
    const target = new Float64Array(gone.length * d);
    for (const [i, j] of gone.entries()) target.set(source.subarray(j * d, (j + 1) * d), i * d);
    return target;
  };
  return { keys: rows(keys), values: rows(values) };
}

/**
 * What a dimension (d) of a key counts in distances: the mean square of the window's queries in its pair i, i + d / 2,
 * which RoPE turns but does not scale.
 */
export function energies({ d, window }: EvictionHead): Float64Array {
  const squares = new Float64Array(d);
  for (const [i, x] of window.entries()) squares[i % d] = (squares[i % d] as number) + (x * x * d) / window.length;
  return squares.map((x, i) => (x + (squares[(i + d / 2) % d] as number)) / 2);
}

/** Clusters, and the degrees of the polynomial inside them that are tried. */
interface Variant {
  degrees: readonly Degree[];
  /** The name with each degree. */
  names: Readonly<Partial<Record<Degree, string>>>;
  /** Clusters for a prompt of this length. */
  count(prompt: number): number;
  make(gone: { keys: Float64Array; values: Float64Array }, head: EvictionHead, seed: number): Clusters;
}

/** C (d, d), and Sigma, which is symmetric, in 2 bytes a number. */
const momentBytes = (d: number, degree: Degree): number =>
  (degree > 0 ? 2 * d * d : 0) + (degree > 1 ? d * (d + 1) : 0);

/** Keys' worth of what stands for evicted keys, at 4 d bytes a key and value. */
const memoryOf = (variant: Variant, degree: Degree, { prompt, d }: EvictionHead): number =>
  variant.count(prompt) + momentBytes(d, degree) / (4 * d);

const clusterVariant = (count: number, names: Variant['names'], inOnePass = false): Variant => ({
  degrees: Object.keys(names).map((degree) => Number(degree) as Degree),
  names,
  count: () => count,
  make({ keys, values }, head, seed) {
    const options = { count, metric: energies(head), random: createRandom(seed) };
    if (inOnePass) return clustersInOnePass(keys, values, head.d, { ...options, rounds: ROUNDS_ONE_PASS });
    return merged(singles(keys, values, head.d), { ...options, rounds: ROUNDS });
  },
});

/** Means of 64 consecutive keys. */
const pages: Variant = {
  degrees: [0],
  names: { 0: 'page means of 64 keys' },
  count: (prompt) => Math.ceil(prompt / PAGE),
  make({ keys, values }, { d }) {
    const points = singles(keys, values, d);
    const count = Math.ceil(points.counts.length / PAGE);
    const target: Clusters = {
      ...points,
      counts: new Float64Array(count),
      keys: new Float64Array(count * d),
      values: new Float64Array(count * d),
    };
    for (const [i, x] of points.keys.entries()) {
      const page = Math.floor(i / d / PAGE);
      const size = Math.min(PAGE, points.counts.length - page * PAGE);
      const to = page * d + (i % d);
      target.keys[to] = (target.keys[to] as number) + x / size;
      target.values[to] = (target.values[to] as number) + (points.values[i] as number) / size;
      target.counts[page] = size;
    }
    return target;
  },
};

const ONE_PASS = '64 clusters with moments, in one pass';

const VARIANTS: readonly Variant[] = [
  clusterVariant(1, { 0: 'one mean', 1: 'moments of degree 1', 2: 'moments of degree 2' }),
  pages,
  clusterVariant(32, { 0: '32 clusters', 2: '32 clusters with moments' }),
  clusterVariant(64, { 2: '64 clusters with moments' }),
  clusterVariant(64, { 2: ONE_PASS }, true),
];

export function remainsReading(study: Study): Reading {
  const heads = evictionHeads(study);
  const reference = snapkvReference(study);
  const rows: string[][] = [];
  const points: Point[] = [];
  let strip: Reading['strip']['heads'] = [];
  const nothing = KEPT.map((count) =>
    mean(heads.map((head) => mean(evictionErrors(head, keepMost(head, head.votes, count))))),
  );
  rows.push(['nothing, keys by votes', '0', ...nothing.map(short)]);
  for (const variant of VARIANTS) {
    // (kept, degrees)
    const errors = KEPT.map((count) => {
      const byHead = heads.map((head) => {
        const kept = keepMost(head, head.votes, count);
        const clusters = variant.make(evicted(head, kept), head, study.seed);
        return variant.degrees.map((degree) => evictionErrors(head, kept, remainsOfClusters(clusters, degree)));
      });
      return variant.degrees.map((degree, i) => {
        const ofDegree = byHead.map((degrees) => degrees[i] as Float64Array);
        if (variant.names[degree] === ONE_PASS && count === KEPT[1]) {
          strip = heads.flatMap((head, h) => errorsByHead(head, ofDegree[h] as Float64Array));
        }
        return mean(ofDegree.map((ofHead) => mean(ofHead)));
      });
    });
    for (const [i, degree] of variant.degrees.entries()) {
      const name = variant.names[degree] ?? '';
      const memory = mean(heads.map((head) => memoryOf(variant, degree, head)));
      const line = KEPT.map((count, k) => ({ name, cost: count + memory, error: errors[k]?.[i] ?? Number.NaN }));
      points.push(...line);
      rows.push([name, short(memory), ...line.map(({ error }) => short(error))]);
    }
  }
  const clustered = points.filter(({ name }) => name === ONE_PASS);
  const middle = clustered[1] as Point;
  const factor = memoryFactor(middle, reference.points);
  return {
    axis: 'memory',
    points: clustered,
    reference,
    others: [...points.filter(({ name }) => name !== ONE_PASS), ...plainPoints(study)],
    strip: { quantity: `error with ${KEPT[1]} keys and 64 clusters in one pass`, heads: strip },
    verdict: `${compared(middle, 'memory', reference)}; ${factor}.`,
    findings: [],
    tables: [
      {
        caption: "Error by keys kept; memory is that of the remains, in keys' worth",
        columns: ['what stands for evicted keys', 'memory', ...KEPT.map(String)],
        rows: [
          ...rows,
          [
            'nothing, SnapKV',
            '0',
            ...KEPT.map((k) => short(reference.points.find(({ cost }) => cost === k)?.error ?? 0)),
          ],
        ],
      },
    ],
  };
}

/** How much more memory a line needs for the error of a point. */
function memoryFactor({ cost, error }: Point, line: readonly Point[]): string {
  const enough = line.filter((point) => point.error <= error);
  const most = max(line.map((point) => point.cost));
  if (enough.length === 0) return `SnapKV does not reach that error with ${short(most / cost)} times the memory`;
  return `SnapKV needs ${short(Math.min(...enough.map((point) => point.cost)) / cost)} times the memory for it`;
}
