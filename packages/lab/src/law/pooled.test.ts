import { describe, expect, it } from 'vitest';
import { PooledTallies } from './pooled.ts';
import { LawTally, type TallyDesign } from './tally.ts';

const DESIGN: TallyDesign = {
  layers: 2,
  heads: 2,
  keyValueHeads: 1,
  lengths: [100, 200],
  shares: [0.1, 0.01],
  ladder: [10, 50],
  budgets: [16, 64],
  queryCounts: [2, 1],
  trialCounts: [1, 1],
  distanceBuckets: 20,
  sketchSize: 6,
};

const measurement = (mass: number[], errors: number[], sinkMass = 0.25) => ({
  sinkMass,
  localMass: 0.5,
  effectiveKeys: 7,
  scoreSpread: 1.5,
  mass: Float32Array.from(mass),
  errorWithoutTail: Float32Array.from(errors),
  errorWithTail: Float32Array.from(errors, (x) => x / 2),
  scoreSquares: 0,
  distanceSums: new Float32Array(20),
  rowSketch: new Float32Array(6),
});

function filled(): LawTally {
  const tally = new LawTally(DESIGN);
  tally.add(0, 0, 1, 0, 95, measurement([5, 30], [0.4, 0.2], 0.25));
  tally.add(0, 1, 1, 0, 99, measurement([7, 34], [0.2, 0.05], 0.75));
  tally.add(1, 0, 1, 0, 190, measurement([9, 60], [0.3, Number.NaN]));
  tally.addTrial({ length: 0, index: 0, layer: 1, keyValueHead: 0, n: 95, budget: 0, squaredError: 0.25, bytes: 400 });
  return tally;
}

/** Row of layer 1, head 0. */
const ROW = 2;

describe('a tally', () => {
  it('keeps the keys that each query needed', () => {
    const tally = filled();
    expect([...tally.n]).toEqual([95, 99, 190]);
    expect([...tally.keys(ROW, 'mass', 0)]).toEqual([5, 7, 9]);
    expect([...tally.keys(ROW, 'mass', 1)]).toEqual([30, 34, 60]);
    // Between 10 and 50 keys the error falls from .2 to .05: .1 is halfway, on logarithmic scales.
    expect(tally.keys(ROW, 'errorWithoutTail', 0)[1]).toBeCloseTo(10 * Math.sqrt(5), 3);
    expect([...tally.keys(0, 'mass', 0)]).toEqual([0, 0, 0]);
  });

  it('has means of the other figures, length by length', () => {
    const tally = filled();
    expect(tally.scalar(ROW, 0, 'sinkMass')).toBeCloseTo(0.5, 6);
    expect(tally.scalar(ROW, 1, 'scoreSpread')).toBeCloseTo(1.5, 6);
    expect([...tally.squaredErrors(ROW, 0, 'errorWithoutTail')]).toEqual([
      expect.closeTo((0.16 + 0.04) / 2, 6),
      expect.closeTo((0.04 + 0.0025) / 2, 6),
    ]);
    expect(tally.squaredErrors(ROW, 1, 'errorWithTail')[1]).toBeNaN();
  });

  it('keeps what the policy did, and says where it was not measured', () => {
    const tally = filled();
    expect([...tally.trialSquares(1, 0)]).toEqual([0.25, Number.NaN]);
    expect(tally.reading(0, 0)).toEqual({ bytes: 400, n: 95 });
    expect(tally.reading(0, 1)).toEqual({ bytes: Number.NaN, n: Number.NaN });
    expect([tally.range(0), tally.range(1), tally.trialRange(1)]).toEqual([
      [0, 2],
      [2, 3],
      [1, 2],
    ]);
  });

  it('is restored from its arrays', () => {
    const [before, after] = [filled(), new LawTally(DESIGN)];
    for (const [name, array] of Object.entries(before.arrays())) after.arrays()[name]?.set(array);
    expect(after.arrays()).toEqual(before.arrays());
    expect([...after.keys(ROW, 'mass', 1)]).toEqual([30, 34, 60]);
  });
});

describe('pooled tallies', () => {
  it('put the queries of all texts together, of all lengths or of one', () => {
    const pooled = new PooledTallies([filled(), filled()], 200);
    expect([...pooled.keysNeeded(ROW, 'mass', 0).keys]).toEqual([5, 7, 9, 5, 7, 9]);
    expect([...pooled.keysNeeded(ROW, 'mass', 0, 1).n]).toEqual([190, 190]);
    expect(pooled.facts(ROW, 'sinkMass')).toEqual([0.5, 0.25]);
    expect(pooled.errors(ROW, 'errorWithoutTail')[1]).toEqual([expect.closeTo(0.3, 6), null]);
  });

  it('leave out longer lengths', () => {
    const shorter = new PooledTallies([filled()], 200).upTo(150);
    expect(shorter.lengths).toEqual([100]);
    expect([...shorter.keysNeeded(ROW, 'mass', 0).keys]).toEqual([5, 7]);
    expect(shorter.trialQueries(1).map(({ n }) => n)).toEqual([95]);
  });

  it('give one text by itself', () => {
    const pooled = new PooledTallies([filled(), filled()], 200);
    expect(pooled.single(pooled.tallies[0] as LawTally).keysNeeded(ROW, 'mass', 0).keys).toHaveLength(3);
  });
});
