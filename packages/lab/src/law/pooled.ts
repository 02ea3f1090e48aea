/** The tallies of several texts as one, up to some length: what laws are made from. */
import type { Criterion } from 'keysieve';
import { mean } from '../numerics/statistics.ts';
import { addDistanceSums, distanceShareOfHalves } from './distance-sums.ts';
import type { TrialQuery } from './surfaces.ts';
import type { LawTally, TallyDesign } from './tally.ts';

export class PooledTallies {
  readonly tallies: readonly LawTally[];
  readonly design: TallyDesign;
  /** The lengths that are used. */
  readonly lengths: readonly number[];

  /** All tallies are of one design; lengths above `fittedTo` are left out. */
  constructor(tallies: readonly LawTally[], fittedTo: number) {
    this.tallies = tallies;
    this.design = (tallies[0] as LawTally).design;
    this.lengths = this.design.lengths.filter((length) => length <= fittedTo);
  }

  /** One of the texts alone. */
  single(tally: LawTally): PooledTallies {
    return new PooledTallies([tally], this.lengths.at(-1) as number);
  }

  /** The pooled errors up to a shorter length. */
  upTo(fittedTo: number): PooledTallies {
    return new PooledTallies(this.tallies, fittedTo);
  }

  /** Keys that the queries of some lengths see, and those that a head needed; of all lengths that are used, or of one. */
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

  /** Queries of each length. */
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

  /** Root mean squares, (lengths, ladder); null where the ladder has more keys than 60 % of all. */
  errors(row: number, curve: 'errorWithoutTail' | 'errorWithTail'): (number | null)[][] {
    return this.lengths.map((_, length) => {
      const squares = this.tallies.map((tally) => tally.squaredErrors(row, length, curve));
      return this.design.ladder.map((_, rung) =>
        rootOrNull(mean(squares.map((textSquares) => textSquares[rung] as number))),
      );
    });
  }

  /** All queries at which the policy was tried for a group. */
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

  /** Mean bytes that a group reads for a query of a length, and mean keys that it sees; NaN where it was not tried. */
  reading(length: number, budget: number): { bytes: number; n: number } {
    const readings = this.tallies.map((tally) => tally.reading(length, budget));
    return { bytes: mean(readings.map(({ bytes }) => bytes)), n: mean(readings.map(({ n }) => n)) };
  }
}

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
