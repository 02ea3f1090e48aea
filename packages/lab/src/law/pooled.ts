/** The tallies of several texts, pooled, up to some length: what laws are fitted to. */
import type { Criterion } from 'keysieve';
import { mean } from '../numerics/statistics.ts';
import { addDistanceSums, distanceShareOfHalves } from './distance-sums.ts';
import type { TrialQuery } from './surfaces.ts';
import type { LawTally, TallyDesign } from './tally.ts';

/** Tallies of one design as one; lengths above `fittedTo` are left out. */
export class PooledTallies {
  readonly tallies: readonly LawTally[];
  readonly design: TallyDesign;
  /** The lengths that are not left out. */
  readonly lengths: readonly number[];

  constructor(tallies: readonly LawTally[], fittedTo: number) {
    this.tallies = tallies;
    this.design = (tallies[0] as LawTally).design;
    this.lengths = this.design.lengths.filter((length) => length <= fittedTo);
  }

  /** The tally of one text alone, with the same lengths. */
  single(tally: LawTally): PooledTallies {
    return new PooledTallies([tally], this.lengths.at(-1) as number);
  }

  /** These tallies up to a shorter length. */
  upTo(fittedTo: number): PooledTallies {
    return new PooledTallies(this.tallies, fittedTo);
  }

  /** n and the needed keys of the queries of a head, at all used lengths or at one. */
  keysNeeded(
    row: number,
    criterion: Criterion,
    share: number,
    length?: number,
  ): { n: Float32Array; keys: Float32Array } {
    const parts = this.tallies.map((tally) => {
      const [from, to] = length === undefined ? [0, tally.range(this.lengths.length - 1)[1]] : tally.range(length);
      return { n: tally.n.subarray(from, to), keys: tally.keys(row, criterion, share).subarray(from, to) };
    });
    return { n: concatenate(parts.map(({ n }) => n)), keys: concatenate(parts.map(({ keys }) => keys)) };
  }

  /** The mean of a statistic of a head at each length. */
  facts(row: number, fact: Parameters<LawTally['scalar']>[2]): number[] {
    return this.lengths.map((_, length) => mean(this.tallies.map((tally) => tally.scalar(row, length, fact))));
  }

  /** The share of score variance that distance alone explains, at each length; null with fewer than two queries. */
  distanceShares(row: number): (number | null)[] {
    return this.lengths.map((_, length) => {
      const half = (index: number) => addDistanceSums(this.tallies.map((tally) => tally.distances(row, length, index)));
      return distanceShareOfHalves(half(0), half(1));
    });
  }

  /** ||A - A_k|| / ||A|| of the attention of all sampled queries, of every length, mean over texts; 0 for none. */
  residual(row: number, rank: number): number {
    return mean(
      this.tallies.map((tally) => {
        const [whole = 0, residual = 0] = tally.sketch(row).residuals([0, rank]);
        return whole === 0 ? 0 : residual / whole;
      }),
    );
  }

  /** Root mean square errors of a head: (lengths, ladder); null where a rung has more than 60 % of all keys. */
  errors(row: number, curve: 'errorWithoutTail' | 'errorWithTail'): (number | null)[][] {
    return this.lengths.map((_, length) => {
      const squares = this.tallies.map((tally) => tally.squaredErrors(row, length, curve));
      return this.design.ladder.map((_, rung) =>
        rootOrNull(mean(squares.map((textSquares) => textSquares[rung] as number))),
      );
    });
  }

  /** The queries at which the policy was measured for a group. */
  trialQueries(group: number): TrialQuery[] {
    return this.tallies.flatMap((tally) =>
      this.lengths.flatMap((_, length) => {
        const [from, to] = tally.trialRange(length);
        return Array.from({ length: to - from }, (_, i) => ({
          length,
          n: tally.trialN[from + i] as number,
          squares: tally.trialSquares(group, from + i),
        }));
      }),
    );
  }

  /** Mean bytes that a group read for a query of a length, and mean n; NaN where not measured. */
  reading(length: number, budget: number): { bytes: number; n: number } {
    const readings = this.tallies.map((tally) => tally.reading(length, budget));
    return { bytes: mean(readings.map(({ bytes }) => bytes)), n: mean(readings.map(({ n }) => n)) };
  }
}

/** The square root; null of NaN. */
export const rootOrNull = (square: number): number | null => (Number.isNaN(square) ? null : Math.sqrt(square));

function concatenate(parts: readonly Float32Array[]): Float32Array {
  const joint = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joint.set(part, at);
    at += part.length;
  }
  return joint;
}
