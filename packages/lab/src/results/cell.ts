/**
 * Cells: the units that the work of a run is divided into. What a cell results in depends on nothing but what the cell
 * says, so that cells can be computed in any order, by any process, on any machine, and be put together afterwards.
 */
import { createHash } from 'node:crypto';
import type { RunSettings, SavedResults } from './saved-results.ts';

/** A unit of the work of a run. */
export interface Cell {
  /** What it shares with the other cells of its run: hashes of the inputs' contents, settings, version. */
  readonly run: RunSettings;
  /** What sets it apart from the other cells of its run. */
  readonly key: object;
  /** Tokens that go through the model for it: what shares and progress are counted in. */
  readonly tokens: number;
}

/** What took the times of a cell. */
export interface TimingMachine {
  processor: string;
  threads: number;
  /** Load average of the last minute when the cell was done: above the number of processors, they did other work too. */
  load: number;
}

/** What became of a cell. */
export interface CellResult<T = unknown, Times = unknown> {
  /** Equal for equal cells. */
  value: T;
  /** What a clock has measured, and where; null where nothing was timed. */
  times: ({ machine: TimingMachine } & Times) | null;
}

/** Computes a cell, whatever is saved. */
export type ComputeCell<C extends Cell = Cell> = (cell: C) => Promise<CellResult>;

/** Gives the result of a cell: as it was saved, or computed. */
export type ResultOf<C extends Cell = Cell> = <T, Times = unknown>(cell: C) => Promise<CellResult<T, Times>>;

/** SHA-256 of a cell, in hexadecimal: equal for equal inputs, settings and versions. */
export const cellId = ({ run, key }: Pick<Cell, 'run' | 'key'>): string =>
  createHash('sha256')
    .update(JSON.stringify([run, key]))
    .digest('hex');

/** Gives what is saved; what is not is computed, and saved. */
export const savedOrComputed =
  <C extends Cell>(saved: SavedResults, compute: ComputeCell<C>): ResultOf<C> =>
  async <T, Times>(cell: C) => {
    const found = saved.find<CellResult<T, Times>>(cell.key);
    if (found !== undefined) return found;
    const result = (await compute(cell)) as CellResult<T, Times>;
    await saved.keep(cell.key, result);
    return result;
  };
