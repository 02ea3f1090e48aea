/** Tallies of heads whose laws are known, for tests of what is made from tallies. */
import type { LawFile } from 'keysieve';
import { createRandom } from '../../core/test/random.ts';
import { type LawInput, makeLaw } from '../src/law/make-law.ts';
import { samplePositions } from '../src/law/positions.ts';
import { LawTally } from '../src/law/tally.ts';
import { createRandom as createSeededRandom } from '../src/numerics/random.ts';

export const PLANTED = {
  layers: 3,
  heads: 4,
  keyValueHeads: 2,
  lengths: [512, 1024, 2048, 4096, 8192],
  shares: [0.1, 0.05, 0.01],
  ladder: [4, 16, 64, 256, 1024, 4096],
  budgets: [32, 64, 128, 256, 512, 1024],
  distanceBuckets: 88,
  sketchSize: 8,
} as const;

export interface PlantedOptions {
  /** Queries of each length, and those at which the policy is tried. */
  samples?: number;
  trials?: number;
  /** Standard deviation of ln keys, and of ln error^2. */
  noise?: number;
  seed?: number;
  texts?: number;
  fittedTo?: number;
}

/** alpha and C of a head, and of a group: what the sieve's errors fall and rise with. */
export function headTruth(row: number): { alpha: number; C: number } {
  const C = 0.3 + 0.05 * row;
  return { alpha: (12 + row) / 512 ** C, C };
}
export const groupTruth = (group: number) => ({
  level: -6 + 0.3 * group,
  keys: -1.4 + 0.1 * group,
  length: 0.5 + 0.05 * group,
});

/** The planted errors are centred here. */
export const TRUE_CENTRE = { keys: Math.log(128), length: Math.log(2048) };

/** Keys that a share asks for, beside those for a tenth. */
export const shareFactor = (share: number) => (0.1 / share) ** 0.5;

export function plantedLaw(options: PlantedOptions = {}): LawFile {
  return makeLaw(plantedMaterial(options));
}

export function plantedMaterial({
  samples = 60,
  trials = 16,
  noise = 0.2,
  seed = 1,
  texts = 1,
  fittedTo = 8192,
}: PlantedOptions = {}): LawInput {
  const random = createRandom(seed);
  const { layers, heads, keyValueHeads, lengths, shares, ladder, budgets } = PLANTED;
  const positionsOf = (text: number) => {
    const seeded = createSeededRandom(seed + text);
    return lengths.map((length) => samplePositions(length, samples, seeded));
  };
  const counts = positionsOf(0).map((positions) => positions.length);
  const design = { ...PLANTED, queryCounts: counts, trialCounts: counts.map((count) => Math.min(count, trials)) };
  const tallies = Array.from({ length: texts }, (_, text) => {
    const tally = new LawTally(design);
    for (const [length, positions] of positionsOf(text).entries()) {
      for (const [index, position] of positions.entries()) {
        const n = position + 1;
        for (let row = 0; row < layers * heads; row++) {
          const { alpha, C } = headTruth(row);
          const keys = alpha * n ** C * Math.exp(noise * random.normal());
          const requiredKeys = (share: number) => Math.max(1, Math.min(n, keys * shareFactor(share)));
          // The error is a tenth at `keys`, and falls with the square root of the keys.
          const errorAt = (rung: number) => (2 * rung > n ? Number.NaN : 0.1 * (keys / rung) ** 2);
          tally.add(length, index, Math.floor(row / heads), row % heads, n, {
            sinkMass: 0.1,
            localMass: 0.2,
            effectiveKeys: 0.3 * keys,
            scoreSpread: 1.5,
            scoreSquares: 1.5 ** 2 * n,
            distanceSums: new Float32Array(PLANTED.distanceBuckets),
            rowSketch: new Float32Array(PLANTED.sketchSize).fill(1),
            mass: Float32Array.from(shares, requiredKeys),
            errorWithoutTail: Float32Array.from(ladder, errorAt),
            errorWithTail: Float32Array.from(ladder, (rung) => errorAt(rung) / 2),
          });
        }
        if (index >= trials) continue;
        for (let group = 0; group < layers * keyValueHeads; group++) {
          const truth = groupTruth(group);
          const groupNoise = noise * random.normal();
          for (const [budget, k] of budgets.entries()) {
            if (2 * k > n) break;
            const logSquare =
              truth.level +
              truth.keys * (Math.log(k) - TRUE_CENTRE.keys) +
              truth.length * (Math.log(n) - TRUE_CENTRE.length) +
              groupNoise;
            tally.addTrial({
              length,
              index,
              n,
              budget,
              squaredError: Math.exp(logSquare),
              bytes: 10 * n + 300 * k,
              layer: Math.floor(group / keyValueHeads),
              keyValueHead: group % keyValueHeads,
            });
          }
        }
      }
    }
    return tally;
  });
  return {
    model: { name: 'planted', hash: 'ab'.repeat(32), layers, heads, keyValueHeads, headDim: 64 },
    texts: tallies.map((_, i) => ({ name: `text ${i}`, hash: 'cd'.repeat(32), tokens: 8192 })),
    settings: {
      tokens: 8192,
      samples,
      seed,
      precision: 'fp32',
      cachePrecision: 'f32',
      context: 8192,
      policy: 'sieve',
    },
    headline: { criterion: 'mass', share: 0.05 },
    tallies,
    fittedTo,
    rowBytes: 256,
  };
}
