/** What a claim is, and what comes of trying it. */
import type { CurvesFigure } from '../plot/curves.ts';
import type { Study } from './source.ts';

/** `in part`: in some of the readings, or on some of the inputs, that its results list. */
export type Verdict = 'yes' | 'no' | 'in part';

/** One reading of a claim, tried on one kind of input. */
export interface Result {
  /** Inputs, and the quantity that was looked at. */
  on: string;
  quantity: string;
  /** The figures that decide it, by their names. */
  figures: Record<string, unknown>;
  holds: boolean;
}

export interface Table {
  caption: string;
  columns: string[];
  rows: string[][];
}

export interface Outcome {
  holds: Verdict;
  /** What was found, in sentences made from the figures. */
  findings: string[];
  results: Result[];
  tables: Table[];
  figures: CurvesFigure[];
}

export interface Claim {
  /** In kebab case: names files. */
  name: string;
  title: string;
  /** What is claimed, and by whom. */
  statement: string;
  /** When a result holds: fixed before any figure was seen. */
  criterion: string;
  judge(study: Study): Outcome;
}

export const verdictOf = (results: readonly Result[]): Verdict => {
  if (results.every(({ holds }) => holds)) return 'yes';
  return results.some(({ holds }) => holds) ? 'in part' : 'no';
};

/** Share of captured heads that a statement about heads must hold for. */
export const MIN_HEAD_SHARE = 0.9;

/** Whether a statement is true of most heads. */
export const holdsForMostHeads = <T>(heads: readonly T[], holds: (head: T) => boolean): boolean =>
  heads.filter(holds).length >= MIN_HEAD_SHARE * heads.length;
