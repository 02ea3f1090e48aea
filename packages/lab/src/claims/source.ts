/** Where rows of attention come from: what the claims are tried on. */
import { type Measurement, meanMeasurement, type Quantity } from './row.ts';

export interface Source {
  family: 'gaussian' | 'capture';
  name: string;
  /** Keys of a row, ascending. */
  lengths: number[];
  /** Repetitions, each of which has the mean of its rows at every length. */
  repetitions: Measurement[][];
}

/** What a claim is tried on. */
export interface Study {
  /** Without values: of each spread, values that do not depend on the keys, and values that are of the same tokens. */
  gaussian: Source[];
  /** One for each captured query head. */
  captures: Source[];
}

/** Watches the rows being made, and stops that. */
export interface RowsWork {
  signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

/** The mean over the repetitions, of each length. */
export const meansOf = ({ lengths, repetitions }: Source): Measurement[] =>
  lengths.map((_, at) => meanMeasurement(repetitions.map((repetition) => repetition[at] as Measurement)));

/** A quantity at a number of keys that was measured. */
export function valueAt({ n, ks, curves }: Measurement, quantity: Quantity, k: number): number {
  const at = ks.indexOf(k);
  if (at === -1) throw new RangeError(`${k} of ${n} keys were not measured.`);
  return curves[quantity][at] as number;
}
