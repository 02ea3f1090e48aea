/** Rows of attention whose figures are known, for tests of what is concluded from them. */
import { ladder } from '../src/claims/budgets.ts';
import { gaussianName, VALUE_KINDS } from '../src/claims/gaussian-source.ts';
import { emptyCurves, type Measurement, type Quantity } from '../src/claims/row.ts';
import type { Source, Study } from '../src/claims/source.ts';

export interface PlantedRow {
  /** Every quantity with k of n keys. Default: sqrt(1 / k). */
  error?: (k: number, n: number) => number;
  /** Keys that leave out at most any share. Default: 10. */
  needed?: (n: number) => number;
  /** In nats. Default: 2. */
  entropy?: (n: number) => number;
  /** Standard deviation of the scores. Default: 2. */
  spread?: (n: number) => number;
  /** Entries above the threshold. Default: 5. */
  above?: (n: number) => number;
}

export const LENGTHS = [256, 1024, 4096, 16_384];
const QUANTITIES: Quantity[] = ['tailMass', 'matrix', 'output', 'outputAbsolute'];
/** Repetitions differ by these factors: exponents are certain, values are not. */
const FACTORS = [0.9, 1, 1.1];

/** A source whose repetitions follow the row. */
export function plantedSource(name: string, family: Source['family'], row: PlantedRow, lengths = LENGTHS): Source {
  const {
    error = (k) => 1 / Math.sqrt(k),
    needed = () => 10,
    entropy = () => 2,
    spread = () => 2,
    above = () => 5,
  } = row;
  const repetitions = FACTORS.map((factor) =>
    lengths.map((n): Measurement => {
      const ks = ladder(n);
      const curves = emptyCurves(ks.length);
      for (const quantity of QUANTITIES) {
        for (const [at, k] of ks.entries()) curves[quantity][at] = k === n ? 0 : factor * error(k, n);
      }
      const keys = factor * needed(n);
      return {
        n,
        ks,
        curves,
        needed: [keys, 2 * keys, 3 * keys],
        entropy: entropy(n) + factor,
        spread: spread(n) + factor - 1,
        above: factor * above(n),
        aboveMass: 0.5,
      };
    }),
  );
  return { family, name, lengths, repetitions };
}

/** Gaussian inputs of two spreads, and captured heads of one capture; all follow the rows. */
export function plantedStudy(gaussian: PlantedRow, heads: readonly PlantedRow[] = []): Study {
  return {
    gaussian: [1, 2].flatMap((spread) =>
      VALUE_KINDS.map((kind) => plantedSource(gaussianName(spread, kind), 'gaussian', gaussian)),
    ),
    captures: heads.map((row, i) => plantedSource(`l${i}.g0 head 0, 16384 keys`, 'capture', row)),
  };
}
