/** The laws of heads and of GQA groups, fitted to the tallies of their queries. */

import { CRITERIA, findLaw, type GroupLaw, type HeadLaw, type KeyCounts, type Law, type LawFile } from 'keysieve';
import { gaussianKeys } from '../numerics/gaussian.ts';
import type { Random } from '../numerics/random.ts';
import { mean, quantile } from '../numerics/statistics.ts';
import { fitLaw } from './fit.ts';
import { classifyHead } from './kinds.ts';
import { keysForError } from './needed-keys.ts';
import { type PooledTallies, rootOrNull } from './pooled.ts';
import { type Centre, fitSurfaces } from './surfaces.ts';
import type { TallyDesign } from './tally.ts';

/** The share of the softmax that `diffuse` heads are told by. */
export const KIND_SHARE = 0.1;

/** The law of one head. */
export function fitHeadLaw(pooled: PooledTallies, row: number, headline: LawFile['headline'], random: Random): HeadLaw {
  const { lengths, design } = pooled;
  const { shares, heads } = design;
  const laws = CRITERIA.flatMap((criterion) =>
    shares.map((share, i): Law => {
      const keys = lengths.map((_, length) => keyStatistics(pooled.keysNeeded(row, criterion, i, length).keys));
      return { criterion, share, keys, fit: fitLaw(pooled.keysNeeded(row, criterion, i), random) };
    }),
  );
  const { fit, keys } = findLaw(laws, headline.criterion, headline.share);
  const [sinkMass, localMass] = [pooled.facts(row, 'sinkMass'), pooled.facts(row, 'localMass')];
  const scoreSpread = pooled.facts(row, 'scoreSpread');
  const kind = classifyHead({
    n: lengths.at(-1) as number,
    sinkMass: sinkMass.at(-1) as number,
    localMass: localMass.at(-1) as number,
    keys: findLaw(laws, 'mass', KIND_SHARE).keys.at(-1)?.mean as number,
  });
  return {
    layer: layerIndex(pooled.design, Math.floor(row / heads)),
    head: row % heads,
    kind,
    alpha: fit.alpha,
    C: fit.C,
    r2: fit.r2,
    interval: fit.interval,
    keys: Object.fromEntries(lengths.map((length, i) => [length, keys[i]?.mean as number])),
    laws,
    sinkMass,
    localMass,
    effectiveKeys: pooled.facts(row, 'effectiveKeys'),
    scoreSpread,
    distanceShare: pooled.distanceShares(row),
    rank4Residual: pooled.residual(row, 4),
    gaussian: shares.map((share) => lengths.map((n, i) => gaussianKeys(n, scoreSpread[i] as number, share))),
    errorWithoutTail: pooled.errors(row, 'errorWithoutTail'),
    errorWithTail: pooled.errors(row, 'errorWithTail'),
  };
}

/** The index in the model of a measured layer. */
const layerIndex = ({ layerIndices }: TallyDesign, layer: number): number =>
  layerIndices === undefined ? layer : (layerIndices[layer] as number);

/** The laws of all GQA groups. */
export function fitGroupLaws(pooled: PooledTallies, centre: Centre, random: Random): GroupLaw[] {
  const { lengths, design } = pooled;
  const { layers, keyValueHeads, budgets, shares } = design;
  const trialQueries = Array.from({ length: layers * keyValueHeads }, (_, group) => pooled.trialQueries(group));
  const surfaces = fitSurfaces(trialQueries, lengths.length, budgets, centre, random.below);
  return trialQueries.map((queries, group): GroupLaw => {
    const queriesAt = (length: number) => queries.filter((query) => query.length === length);
    const laws = shares.map((share): Law => {
      const keysNeeded = (subset: typeof queries) =>
        subset.map(({ squares, n }) => keysForError(Float64Array.from(squares, Math.sqrt), budgets, n, share));
      return {
        criterion: 'errorWithTail',
        share,
        keys: lengths.map((_, length) => keyStatistics(keysNeeded(queriesAt(length)))),
        fit: fitLaw({ n: queries.map(({ n }) => n), keys: keysNeeded(queries) }, random),
      };
    });
    return {
      layer: layerIndex(design, Math.floor(group / keyValueHeads)),
      keyValueHead: group % keyValueHeads,
      errors: lengths.map((_, length) =>
        budgets.map((_, budget) => rootOrNull(mean(queriesAt(length).map(({ squares }) => squares[budget] as number)))),
      ),
      laws,
      surface: surfaces[group] as GroupLaw['surface'],
    };
  });
}

const keyStatistics = (keys: ArrayLike<number>): KeyCounts => ({
  mean: mean(keys),
  p10: quantile(keys, 0.1),
  median: quantile(keys, 0.5),
  p90: quantile(keys, 0.9),
});
